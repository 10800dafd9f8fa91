"""Shares of the cores that this process may use, for processes side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise


def count() -> int:
    """How many cores this process may use, on which the last digits of what XLA computes depend."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares(count: int) -> list[set[int]]:
    """These cores in so many parts, as even as can be; of more parts than cores some have the same core.

    The parts are empty where the system does not say which cores a process may use.
    """
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    bounds = pairwise(number * len(own) // count for number in range(count + 1))
    return [set(own[first : max(last, first + 1)]) for first, last in bounds]


@contextmanager
def held_to(share: set[int]) -> Iterator[None]:
    """A process that this thread starts within the block is held to these cores, from its first thread on.

    So it has as many threads as they are. Where the share is empty it has all cores.
    """
    if not share:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, share)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
