"""Measures the algorithms for a call on this machine, and stores which is fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import planner
from ..algorithms import ALGORITHMS
from ..geometry import check_positive
from ..planner import cache
from ..primitive import bilinear
from .equation import trace_conv1d

# Another algorithm replaces the planner's choice only if its time, relative to that choice, is less than this: smaller
# gains are within the noise.
MAX_TIME_RATIO = 0.95
# An algorithm is measured only once if its first time is more than this multiple of the smallest first time.
MAX_FIRST_TIME_RATIO = 5.0


class Tuning(NamedTuple):
    """The measurements of `tune`. Prints as a table.

    Attributes:
        milliseconds: For each operation, the time of each algorithm.
        fastest: For each operation, the fastest algorithm that `"auto"` and `"fastest"` allow. This is stored.
        path: The file that it is stored in.
    """

    milliseconds: dict[str, dict[str, float]]
    fastest: dict[str, dict[str, str]]
    path: Path

    def __str__(self) -> str:
        lines = [f"{'':<16}{'auto':<11}{'fastest':<11}milliseconds"]
        for operation, times in self.milliseconds.items():
            cells = ", ".join(f"{name} {ms:.3g}" for name, ms in sorted(times.items(), key=lambda item: item[1]))
            best = self.fastest[operation]
            lines.append(f"{operation:<16}{best[planner.AUTO]:<11}{best[planner.FASTEST]:<11}{cells}")
        return "\n".join(lines)


def tune(params: Mapping[str, Any], x: Any, *, repeats: int = 7, **options: Any) -> Tuning:
    """Measures the algorithms for each operation of `conv1d(params, x, **options)`, and stores which is fastest.

    Programs that are compiled afterwards on this machine use the result for operations with the same sizes and dtype:
    the fastest local algorithm for `algorithm="auto"`, and the fastest of all for `"fastest"`. The result is in the
    file `jconv.planner.cache.cache_file()`. Delete this file to discard it.

    Args:
        params: As in `conv1d`. Only shapes and dtypes are used; the operations are measured with random values.
        x: As in `conv1d`.
        repeats: Number of interleaved measurements per algorithm, of which the median is taken.
        **options: The options of `conv1d`, except `algorithm` and `segment_ids`.

    Returns:
        The `Tuning`, which prints as a table.

    Raises:
        ValueError: `options` contains `algorithm` or `segment_ids`, or as in `conv1d`.
        TypeError: As in `conv1d`.
        OSError: The file cannot be written.

    >>> tuning = tune({"kernel": jnp.ones((3, 4, 8))}, jnp.ones((2, 50, 4)), repeats=1)
    >>> sorted(tuning.fastest)
    ['forward', 'input_gradient', 'kernel_gradient']
    """
    if "algorithm" in options:
        raise ValueError("tune measures every algorithm; leave algorithm out")
    repeats = check_positive("repeats", repeats)
    equation = trace_conv1d(params, x, **options)
    if equation.packed:
        raise ValueError("tune does not support segment_ids, for which there is no choice of algorithm; leave them out")
    sizes, precision, dtype = equation.sizes, equation.precision, jnp.dtype(equation.kernel.dtype)
    measured, fastest, entries = {}, {}, {}
    for operation, shapes in equation.operands.items():
        choices = {
            name: equation.choose_algorithm(operation, name).algorithm for name in (planner.AUTO, planner.FASTEST)
        }
        names = dict.fromkeys([*choices.values(), *planner.candidates(operation, sizes)])
        run = partial(getattr(bilinear, operation), geometry=equation.geometry, precision=precision)
        operands = [_random(shape, seed) for seed, shape in enumerate(shapes)]
        times = _medians({name: _compile(partial(run, algorithm=name), operands) for name in names}, repeats)
        local = {name: ms for name, ms in times.items() if ALGORITHMS[name].LOCAL}
        measured[operation] = times
        fastest[operation] = {
            planner.AUTO: _fastest(local, choices[planner.AUTO]),
            planner.FASTEST: _fastest(times, choices[planner.FASTEST]),
        }
        entries[cache.key(operation, sizes, dtype, precision, jax.default_backend())] = fastest[operation]
    path = cache.save(entries)
    bilinear.clear_cache()
    return Tuning(measured, fastest, path)


def _fastest(times: Mapping[str, float], choice: str) -> str:
    """Returns the fastest algorithm, or the planner's choice if that is about as fast."""
    best = min(times, key=lambda name: times[name])
    return best if times[best] < MAX_TIME_RATIO * times[choice] else choice


def _random(shape: jax.ShapeDtypeStruct, seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape.shape), shape.dtype)


def _compile(run: Callable[..., jax.Array], operands: list[jax.Array]) -> Callable[[], Any]:
    compiled = jax.jit(run).lower(*operands).compile()
    return lambda: jax.block_until_ready(compiled(*operands))


def _medians(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Returns the median time of each call. The order rotates, and each timed call follows an untimed one."""
    for call in calls.values():
        call()
    first = {name: _milliseconds(call) for name, call in calls.items()}
    names = [name for name in calls if first[name] <= MAX_FIRST_TIME_RATIO * min(first.values())]
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            calls[name]()
            times[name].append(_milliseconds(calls[name]))
    return first | {name: float(np.median(values)) for name, values in times.items()}


def _milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)
