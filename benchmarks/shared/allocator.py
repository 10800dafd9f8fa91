"""The allocator's treatment of freed memory, which affects the times of all sides."""

from __future__ import annotations

import ctypes
import sys

# Options of glibc's mallopt, from malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
MOST = 2**30


def keep_memory() -> bool:
    """Let the process keep freed memory, with glibc. Returns whether that succeeded.

    By default glibc returns large blocks to the system depending on thresholds that change with earlier allocations,
    and the system zeroes new pages when they are first written. The time of a matrix product of (16, 512, 128) and
    (128, 256) can be 1.4 times as long for this reason alone, and which side is slower is random. A long-running
    program can set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ in its environment for the same effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(set_option(option, MOST) == 1 for option in (TRIM_THRESHOLD, MMAP_THRESHOLD))
