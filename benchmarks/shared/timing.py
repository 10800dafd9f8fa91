"""Interleaved timing: the sides of a comparison take turns in one process, and their medians are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

Call = Callable[[], Any]

PAUSE_SECONDS = 5e-3
"""Seconds of sleep before a timed call, because OpenMP threads of other libraries spin for milliseconds."""

MAX_WARMUP_SECONDS = 0.25
"""A call that takes longer is timed without an untimed call before it, since caches matter little."""

MAX_REPEATED_SECONDS = 5.0
"""A call that takes longer is not repeated: the time of its first call counts."""

MIN_REPEATS = 3


class Clock(NamedTuple):
    """The clock and the sleep function, which tests replace."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


REAL_CLOCK = Clock()


class Timing(NamedTuple):
    """The median of a call's times, and the number of times."""

    milliseconds: float
    repeats: int


def compute_inline() -> None:
    """Let JAX compute in the calling thread instead of another one. Must be called before the first computation."""
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def once(call: Call, clock: Clock = REAL_CLOCK) -> tuple[Any, float]:
    """The result of a call, and its seconds."""
    began = clock.now()
    result = call()
    return result, clock.now() - began


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """`names` rotated by `turn` places, so that each turn begins with another side."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def measured_names(names: Iterable[str], rows: Iterable[Collection[str]]) -> list[str]:
    """The names of the sides, in their order, that have times in one of the rows of a table."""
    measured = set().union(*rows)
    return [name for name in names if name in measured]


def repeats_of(first: Mapping[str, float], max_repeats: int, budget: float) -> dict[str, int]:
    """How often each side is timed: as often as its share of the budget allows, by the seconds of its first call."""
    share = budget / len(first)
    counts = {}
    for side, seconds in first.items():
        calls = 1 if seconds > MAX_WARMUP_SECONDS else 2
        affordable = int(share / (PAUSE_SECONDS + calls * seconds))
        counts[side] = 0 if seconds > MAX_REPEATED_SECONDS else min(max_repeats, max(MIN_REPEATS, affordable))
    return counts


def medians(
    calls: Mapping[str, Call],
    first: Mapping[str, float],
    *,
    max_repeats: int = 31,
    budget: float = 2.0,
    clock: Clock = REAL_CLOCK,
) -> dict[str, Timing]:
    """The median of each side's times; `first` is the seconds of a call that each side made before.

    Each turn begins with another side. Before each timed call there is a pause and an untimed call of the same side, so
    that caches and cores are in the same condition.
    """
    counts = repeats_of(first, max_repeats, budget)
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(max(counts.values())):
        for name in rotated(names, turn):
            if turn < counts[name]:
                clock.sleep(PAUSE_SECONDS)
                if first[name] <= MAX_WARMUP_SECONDS:
                    calls[name]()
                seconds[name].append(once(calls[name], clock)[1])
    return {name: _timing(times or [first[name]]) for name, times in seconds.items()}


def _timing(seconds: list[float]) -> Timing:
    return Timing(1e3 * float(np.median(seconds)), len(seconds))
