"""How many cores this process may use, which is how many threads XLA gives it on a CPU."""

from __future__ import annotations

import os


def cores() -> int:
    """All of the machine's, or those that the process is held to.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
