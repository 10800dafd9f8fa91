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

from . import bilinear, planner, tuned
from .algorithms import FACES
from .conv import problem
from .explain import face_shapes, problem_sizes
from .geometry import check_positive
from .machine import here

# Another algorithm must be this much faster than the planner's own choice to be remembered instead: noise is not news.
BETTER = 0.95
# A candidate that the model foresees at this many times the fastest one is not tried: some take long to compile.
ABSURD = 10.0
# A candidate whose first call takes this many times the fastest one's so far is not measured again.
HOPELESS = 5.0


class Tuning(NamedTuple):
    """Milliseconds of each candidate for each face, what is remembered, and where; prints as a table."""

    milliseconds: dict[str, dict[str, float]]
    fastest: dict[str, str]
    path: Path

    def __str__(self) -> str:
        lines = []
        for face, times in self.milliseconds.items():
            cells = ", ".join(f"{name} {ms:.3g} ms" for name, ms in sorted(times.items(), key=lambda item: item[1]))
            lines.append(f"{face:<16}{self.fastest[face]:<11}{cells}")
        return "\n".join(lines)


def tune(params: Mapping[str, Any], x: Any, *, repeats: int = 7, **options: Any) -> Tuning:
    """Time each algorithm for each face of `conv1d(params, x, **options)`, and remember the fastest for this machine.

    Later programs that hold a face of the same sizes and type use it wherever `algorithm` is `"auto"`; programs that
    were compiled before keep what they have. Times are medians of `repeats` interleaved calls on random numbers. The
    file is that of `jconv.tuned.cache_file()`: delete it to forget.

    Options and errors are those of `conv1d`, except `algorithm`; `OSError` where the file cannot be written.

    >>> tuning = tune({"kernel": jnp.ones((3, 4, 8))}, jnp.ones((2, 50, 4)), repeats=1)
    >>> sorted(tuning.fastest)
    ['forward', 'input_gradient', 'kernel_gradient']
    """
    if "algorithm" in options:
        raise ValueError("tune measures every algorithm; leave algorithm out")
    repeats = check_positive("repeats", repeats)
    p = problem(params, x, **options)
    sizes, dtype, platform = problem_sizes(p), jnp.dtype(p.kernel.dtype), jax.default_backend()
    measured, fastest = {}, {}
    for face, shapes in face_shapes(p).items():
        tiles = not bilinear.wants_highest(p.precision)
        own = planner.choose(planner.AUTO, face, sizes, platform=platform, tiles=tiles, machine=here()).algorithm
        foreseen = planner.foresee(face, sizes, tiles=tiles, machine=here())
        worth = [name for name, ms in foreseen.items() if ms <= ABSURD * min(foreseen.values())]
        names = dict.fromkeys([own, *(worth if platform == "cpu" else foreseen)])
        run = partial(getattr(bilinear, face), geometry=p.geometry, precision=p.precision)
        operands = [_random(shape, seed) for seed, shape in enumerate(shapes)]
        times = _medians({name: _compiled(partial(run, algorithm=name), operands) for name in names}, repeats)
        best = min(times, key=lambda name: times[name])
        measured[face] = times
        fastest[face] = best if times[best] < BETTER * times[own] else own
    path = tuned.remember({tuned.key(face, sizes, dtype, p.precision, platform): fastest[face] for face in FACES})
    bilinear.forget()
    return Tuning(measured, fastest, path)


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
