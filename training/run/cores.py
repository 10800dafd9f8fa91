"""Cores for several processes that run at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise


def count() -> int:
    """The number of cores that this process may use. The last digits of what XLA computes depend on it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split_cores(count: int) -> list[set[int]]:
    """The cores of this process in `count` parts of about equal size; with more parts than cores, parts share a core.

    The parts are empty if the system does not say which cores a process may use.
    """
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    bounds = pairwise(number * len(own) // count for number in range(count + 1))
    return [set(own[first : max(last, first + 1)]) for first, last in bounds]


@contextmanager
def pinned_to(share: set[int]) -> Iterator[None]:
    """Processes that this thread starts within the block run on these cores, and use as many threads.

    If the share is empty they run on all cores.
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
