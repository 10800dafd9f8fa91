"""The hardware facts that the planner uses. They are read once and passed as arguments."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Hardware(NamedTuple):
    """A processor's name, and the number of cores that this process may use, which is XLA's number of CPU threads."""

    processor: str
    cores: int


UNKNOWN = Hardware("unknown", 2)
"""For programs of several processes: their machines may differ, but all of them must choose the same algorithms."""


def cores() -> int:
    """Returns the number of cores that this process may use.

    Returns:
        The size of the process's CPU affinity where the system has one, otherwise the number of cores.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def processor() -> str:
    """Returns the processor's name, from /proc/cpuinfo if there is one.

    >>> len(processor()) > 0
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, UnicodeDecodeError):
        return platform.processor() or platform.machine()


@cache
def this_machine() -> Hardware:
    """Returns the hardware of this process.

    Returns:
        The processor's name and the number of cores, read once.

    >>> this_machine() == Hardware(processor(), cores())
    True
    """
    return Hardware(processor(), cores())
