"""Measure the candidates for a call on this machine, and remember the fastest."""

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
from ..algorithms import ALGORITHMS, OPERATIONS
from ..functional.convolution import problem
from ..geometry import check_positive
from ..planner import cache
from ..primitive import bilinear
from .explain import choose_algorithm, operand_shapes, sizes_of

# Another algorithm must be this much faster than the planner's own choice to be remembered instead: noise is not news.
BETTER = 0.95
# A candidate whose first call takes this many times the fastest one's so far is not measured again.
HOPELESS = 5.0


class Tuning(NamedTuple):
    """What was measured; prints as a table.

    `milliseconds` are those of each candidate for each operation, `fastest` is what is remembered: for each operation
    the fastest algorithm that `"auto"` may choose, and that `"fastest"` may choose. `path` is where.
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
    """Time the algorithms for each operation of `conv1d(params, x, **options)`, and remember the fastest here.

    Later programs that hold an operation of the same sizes and type use the fastest local algorithm that was measured
    wherever `algorithm` is `"auto"`, and the fastest of all where it is `"fastest"`; programs that were compiled before
    keep what they have. Times are medians of `repeats` interleaved calls on random numbers. The file is that of
    `jconv.planner.cache.cache_file()`: delete it to forget.

    Options and errors are those of `conv1d`, except `algorithm` and `segment_ids`; `OSError` where the file cannot be
    written.

    >>> tuning = tune({"kernel": jnp.ones((3, 4, 8))}, jnp.ones((2, 50, 4)), repeats=1)
    >>> sorted(tuning.fastest)
    ['forward', 'input_gradient', 'kernel_gradient']
    """
    if "algorithm" in options:
        raise ValueError("tune measures every algorithm; leave algorithm out")
    repeats = check_positive("repeats", repeats)
    p = problem(params, x, **options)
    if p.packed:
        raise ValueError("tune has nothing to choose for segment_ids, whose windows are multiplied; leave them out")
    sizes, dtype, platform = sizes_of(p), jnp.dtype(p.kernel.dtype), jax.default_backend()
    measured, fastest = {}, {}
    for operation, shapes in operand_shapes(p).items():
        own = {policy: choose_algorithm(p, operation, policy).algorithm for policy in (planner.AUTO, planner.FASTEST)}
        names = dict.fromkeys([*own.values(), *planner.candidates(operation, sizes)])
        run = partial(getattr(bilinear, operation), geometry=p.geometry, precision=p.precision)
        operands = [_random(shape, seed) for seed, shape in enumerate(shapes)]
        times = _medians({name: _compiled(partial(run, algorithm=name), operands) for name in names}, repeats)
        measured[operation] = times
        local = {name: ms for name, ms in times.items() if ALGORITHMS[name].LOCAL}
        fastest[operation] = {
            planner.AUTO: _fastest(local, own[planner.AUTO]),
            planner.FASTEST: _fastest(times, own[planner.FASTEST]),
        }
    keys = {operation: cache.key(operation, sizes, dtype, p.precision, platform) for operation in OPERATIONS}
    path = cache.save({keys[operation]: fastest[operation] for operation in OPERATIONS})
    bilinear.clear_cache()
    return Tuning(measured, fastest, path)


def _fastest(times: Mapping[str, float], own: str) -> str:
    best = min(times, key=lambda name: times[name])
    return best if times[best] < BETTER * times[own] else own


def _random(shape: jax.ShapeDtypeStruct, seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape.shape), shape.dtype)


def _compiled(run: Callable[..., jax.Array], operands: list[jax.Array]) -> Callable[[], Any]:
    compiled = jax.jit(run).lower(*operands).compile()
    return lambda: jax.block_until_ready(compiled(*operands))


def _medians(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Milliseconds of each call; the order rotates, and each timed call follows an untimed one of its own."""
    for call in calls.values():
        call()
    first = {name: _milliseconds(call) for name, call in calls.items()}
    names = [name for name in calls if first[name] <= HOPELESS * min(first.values())]
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            calls[name]()
            times[name].append(_milliseconds(calls[name]))
    return first | {name: float(np.median(values)) for name, values in times.items()}


def _milliseconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)
