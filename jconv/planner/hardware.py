"""What the planner knows of the machine: read once, and passed on as an argument."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Hardware(NamedTuple):
    """A processor's name, and how many cores the process may use, which is how many threads XLA has on a CPU."""

    processor: str
    cores: int


# Of a program of several processes, whose machines may differ: all of them must choose the same.
UNKNOWN = Hardware("unknown", 2)


def cores() -> int:
    """All of the machine's cores, or those that the process is restricted to.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def processor() -> str:
    """The processor's name, from /proc/cpuinfo where there is one.

    >>> len(processor()) > 0
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, UnicodeDecodeError):
        return platform.processor() or platform.machine()


@cache
def here() -> Hardware:
    """The hardware of this process.

    >>> here() == Hardware(processor(), cores())
    True
    """
    return Hardware(processor(), cores())
