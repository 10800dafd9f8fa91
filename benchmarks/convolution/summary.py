"""Ratios of the times of a run, their geometric means, and the rows in which jconv is slow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .programs import FASTEST, FORWARD, GRADIENTS, JCONV, LAX, OTHER_LIBRARIES, PROGRAMS, SCAN_FORWARD

Result = dict[str, Any]

BEST_OTHER = "best other library"
SLOW = {LAX: 0.9, BEST_OTHER: 0.6}
"""A row is listed as slow if the ratio of the other's time to jconv's is lower."""
WORST = 5


def ratio(result: Result, program: str, other: str, own: str = JCONV) -> float | None:
    """The time of the other side divided by jconv's; None if one of them was not run.

    `own` is `JCONV` or `FASTEST`, which is jconv's default where both choose the same algorithms.
    """
    times = result["milliseconds"].get(program, {})
    others = [times.get(side) for side in (OTHER_LIBRARIES if other == BEST_OTHER else [other])]
    known = [time for time in others if time]
    time = times.get(own, times.get(JCONV))
    return min(known) / time if known and time else None


def ratios(results: Iterable[Result], program: str, other: str, own: str = JCONV) -> dict[str, float]:
    """The known ratios by row."""
    every = {result["row"]["name"]: ratio(result, program, other, own) for result in results}
    return {name: value for name, value in every.items() if value is not None}


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean of numbers above zero.

    >>> geometric_mean([1.0, 4.0])
    2.0
    """
    return math.exp(math.fsum(logs := [math.log(value) for value in values]) / len(logs))


def summary(results: list[Result]) -> list[str]:
    """The lines below the tables: means, minima and slow rows, for each program and other library."""
    lines = []
    for program in PROGRAMS:
        plain = program in (FORWARD, GRADIENTS)
        for other in (BEST_OTHER, LAX) if plain else (LAX,):
            for own in (JCONV, FASTEST) if plain else (JCONV,):
                known = ratios(results, program, other, own)
                if known:
                    lines += _lines(known, f"{program}, {other} / {own}", SLOW[other])
    steps = in_a_loop(results)
    if steps:
        ranked = sorted(steps.items(), key=lambda item: -item[1])
        lines.append(_line(ranked, "jconv, forward, step of a scan / call outside", "highest", ""))
    return lines


def in_a_loop(results: Iterable[Result]) -> dict[str, float]:
    """The time of a step of jconv's forward scan, divided by the time of a call outside of a scan, by row.

    The step also computes the mean square of y and moves x by it.
    """
    times = {result["row"]["name"]: result["milliseconds"] for result in results}
    both = {name: (t.get(SCAN_FORWARD, {}).get(JCONV), t[FORWARD].get(JCONV)) for name, t in times.items()}
    return {name: step / call for name, (step, call) in both.items() if step and call}


def _lines(known: dict[str, float], what: str, limit: float) -> list[str]:
    ranked = sorted(known.items(), key=lambda item: item[1])
    slow = [name for name, value in ranked if value < limit]
    lines = [_line(ranked, what, "lowest")]
    if slow:
        lines.append(f"  - below {limit:g}x: {len(slow)}: {', '.join(slow)}")
    return lines


def _line(ranked: list[tuple[str, float]], what: str, end: str, unit: str = "x") -> str:
    """The mean, and the first of the ranked rows."""
    worst = ", ".join(f"{name} {value:.2f}{unit}" for name, value in ranked[:WORST])
    mean = geometric_mean(value for _, value in ranked)
    return f"- {what}: {mean:.2f}{unit} over {len(ranked)} rows; {end} {worst}"
