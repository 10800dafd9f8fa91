"""What jconv does with a call, and why: for each face the algorithm, the reason, the work and the memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from . import bilinear, planner, tuned
from .algorithms import FACES
from .conv import Problem, problem
from .costs import Sizes
from .machine import here


class FacePlan(NamedTuple):
    """How one face is computed.

    `flops` counts a multiplication and an addition as two, zeros of the padding included; `bytes` are those of both
    operands and the result; `temporary` is the memory in bytes that XLA sets aside besides.
    """

    algorithm: str
    reason: str
    flops: int
    bytes: int
    temporary: int


class Plan(NamedTuple):
    """How a convolution and its two gradients are computed; prints as a table."""

    forward: FacePlan
    input_gradient: FacePlan
    kernel_gradient: FacePlan

    def __str__(self) -> str:
        lines = [f"{'':<16}{'algorithm':<11}{'MFLOP':>10}{'MB':>9}{'temporary MB':>14}  reason"]
        for name, face in zip(FACES, self, strict=True):
            numbers = f"{face.flops / 1e6:>10.4g}{face.bytes / 1e6:>9.3g}{face.temporary / 1e6:>14.3g}"
            lines.append(f"{name:<16}{face.algorithm:<11}{numbers}  {face.reason}")
        return "\n".join(lines)


def explain(params: Mapping[str, Any], x: Any, **options: Any) -> Plan:
    """What `conv1d(params, x, **options)` and its gradients would do here; nothing is computed.

    Options and errors are those of `conv1d`. Each face is compiled, to ask XLA for its temporary memory; arrays may be
    `jax.ShapeDtypeStruct`s. A larger program that holds the call may fuse it with its neighbours.

    >>> plan = explain({"kernel": jnp.ones((4, 1, 64))}, jnp.ones((8, 512, 64)), groups=64, padding="causal")
    >>> plan.forward.algorithm, plan.forward.flops
    ('shifts', 2097152)
    """
    p = problem(params, x, **options)
    shapes = face_shapes(p)
    dtype = jnp.dtype(p.kernel.dtype)
    platform = jax.default_backend()
    sizes = problem_sizes(p)
    plans = []
    for face in FACES:
        measured = tuned.lookup(face, sizes, dtype, p.precision, platform)
        tiles = not bilinear.wants_highest(p.precision)
        choice = planner.choose(
            p.algorithm, face, sizes, measured=measured, platform=platform, tiles=tiles, machine=here()
        )
        run = partial(getattr(bilinear, face), geometry=p.geometry, algorithm=p.algorithm, precision=p.precision)
        compiled = jax.jit(run).lower(*shapes[face]).compile()
        operands = [*shapes[face], jax.eval_shape(run, *shapes[face])]
        memory = compiled.memory_analysis()
        plans.append(
            FacePlan(
                choice.algorithm,
                choice.reason,
                2 * sizes.products,
                sum(array.size for array in operands) * dtype.itemsize,
                memory.temp_size_in_bytes if memory else 0,
            )
        )
    return Plan(*plans)


def problem_sizes(p: Problem) -> Sizes:
    """What the planner is asked about."""
    *lead, _, in_channels = p.x.shape
    return Sizes(p.geometry, math.prod(lead), in_channels, p.kernel.shape[-1])


def face_shapes(p: Problem) -> dict[str, tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]:
    """The two operands of each face."""
    x = jax.ShapeDtypeStruct(p.x.shape, p.kernel.dtype)
    kernel = jax.ShapeDtypeStruct(p.kernel.shape, p.kernel.dtype)
    y_bar = jax.ShapeDtypeStruct((*x.shape[:-2], p.geometry.out_length, kernel.shape[-1]), x.dtype)
    return {"forward": (x, kernel), "input_gradient": (y_bar, kernel), "kernel_gradient": (x, y_bar)}
