"""What becomes of memory that is freed, which every side of a comparison feels and none of them decides."""

from __future__ import annotations

import ctypes
import sys

# glibc's names for them, from malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
MOST = 2**30


def keep_memory() -> bool:
    """Let the process keep memory that is freed, where the C library is glibc; returns whether it will.

    By default glibc gives large blocks back to the system or not, by thresholds that depend on what was allocated
    before, and pages that come back are zeroed when they are first written. A (16, 512, 128) times (128, 256) product
    takes 1.4 ms or 2.0 for that alone, and which side of a comparison pays is chance. A program that runs for long can
    have the same with MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ in its environment.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(set_option(option, MOST) == 1 for option in (TRIM_THRESHOLD, MMAP_THRESHOLD))
