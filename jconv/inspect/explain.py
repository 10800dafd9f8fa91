"""What jconv does with a call, and why: for each operation the algorithm, the reason, the work and the memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax

from .. import planner
from ..algorithms import OPERATIONS
from ..functional.convolution import Problem, conv1d, problem
from ..primitive import bilinear
from ..sizes import Sizes

# `"fastest"` is mentioned where it takes at most this part of the time of `"auto"`.
FASTER = 0.9


class OperationPlan(NamedTuple):
    """How one operation is computed.

    `flops` counts a multiply-add as two, zeros of the padding included; `bytes` are those of both operands and the
    result; `temporary` is the memory in bytes that XLA sets aside besides.
    """

    algorithm: str
    reason: str
    flops: int
    bytes: int
    temporary: int


class Plan(NamedTuple):
    """How a convolution and its two gradients are computed; prints as a table."""

    forward: OperationPlan
    input_gradient: OperationPlan
    kernel_gradient: OperationPlan

    def __str__(self) -> str:
        lines = [f"{'':<16}{'algorithm':<11}{'MFLOP':>10}{'MB':>9}{'temporary MB':>14}  reason"]
        for name, own in zip(OPERATIONS, self, strict=True):
            numbers = f"{own.flops / 1e6:>10.4g}{own.bytes / 1e6:>9.3g}{own.temporary / 1e6:>14.3g}"
            lines.append(f"{name:<16}{own.algorithm:<11}{numbers}  {own.reason}")
        return "\n".join(lines)


def explain(params: Mapping[str, Any], x: Any, **options: Any) -> Plan:
    """What `conv1d(params, x, **options)` and its gradients would do here; nothing is computed.

    Options and errors are those of `conv1d`. Each operation is compiled, to ask XLA for its temporary memory; arrays
    may be `jax.ShapeDtypeStruct`s. A larger program that holds the call may fuse it with its neighbours.

    The reason of a choice is the algorithm's time for that of lax, a geometric mean of similar geometries, interpolated
    between measurements, and in what they are similar. Where `algorithm="fastest"` would be at least 10% faster it says
    so, and how much.

    >>> import jax.numpy as jnp
    >>> plan = explain({"kernel": jnp.ones((4, 1, 64))}, jnp.ones((8, 512, 64)), groups=64, padding="causal")
    >>> plan.forward.algorithm, plan.forward.flops
    ('shifts', 2097152)
    """
    p = problem(params, x, **options)
    flops = 2 * sizes_of(p).multiply_adds
    plans = []
    for operation, shapes in operand_shapes(p).items():
        run = _packed(p, operation, options) if p.packed else _alone(p, operation)
        memory = jax.jit(run).lower(*shapes).compile().memory_analysis()
        arrays = [*shapes, jax.eval_shape(run, *shapes)]
        size = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
        plans.append(OperationPlan(*_choice(p, operation), flops, size, memory.temp_size_in_bytes if memory else 0))
    return Plan(*plans)


def _choice(p: Problem, operation: str) -> tuple[str, str]:
    """The algorithm and the reason."""
    if p.algorithm is None:
        return "shifts", "segment_ids: of each window the samples of other segments are cleared, then tap by tap"
    choice = choose_algorithm(p, operation, p.algorithm)
    reason = choice.reason
    if p.algorithm == planner.AUTO:
        fastest = choose_algorithm(p, operation, planner.FASTEST)
        if choice.ratio and fastest.ratio and fastest.ratio <= FASTER * choice.ratio:
            part = fastest.ratio / choice.ratio
            reason += f'; algorithm="fastest" is predicted to take {part:.2f} of this time, with {fastest.algorithm}'
    if p.packed:
        reason = f"segment_ids: of each window the samples of other segments are cleared, then multiplied: {reason}"
    return choice.algorithm, reason


def choose_algorithm(p: Problem, operation: str, algorithm: str) -> planner.Choice:
    """What the planner chooses for an operation of a problem, asked for an algorithm by name or `"auto"`."""
    primitive = next(primitive for primitive, name in bilinear.OPERATION.items() if name == operation)
    return bilinear.choose_algorithm(
        primitive,
        *_operands(p.x, p.kernel, p.geometry.out_length)[operation],
        geometry=p.geometry,
        ensemble_ndim=0,
        algorithm=algorithm,
        precision=p.precision,
        platform=jax.default_backend(),
    )


def _alone(p: Problem, operation: str) -> Callable[..., Any]:
    run = getattr(bilinear, operation)
    return partial(run, geometry=p.geometry, algorithm=p.algorithm, precision=p.precision)


def _packed(p: Problem, operation: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """An operation of a packed array; its gradients are those of the whole, windows included."""
    assert p.packed
    x, kernel = p.packed
    options = {name: value for name, value in options.items() if name != "activation"}

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv1d({"kernel": kernel}, x, **options)[0]

    if operation == "forward":
        return forward
    if operation == "input_gradient":
        return lambda y_bar, kernel: jax.linear_transpose(lambda x: forward(x, kernel), x)(y_bar)[0]
    return lambda x, y_bar: jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(y_bar)[0]


def sizes_of(p: Problem) -> Sizes:
    """What the planner is asked about."""
    *lead, _, in_channels = p.x.shape
    return Sizes(p.geometry, math.prod(lead), in_channels, p.kernel.shape[-1])


Operands = dict[str, tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]


def operand_shapes(p: Problem) -> Operands:
    """The two operands of each operation."""
    return _operands(*(p.packed or (p.x, p.kernel)), p.geometry.out_length)


def _operands(x: jax.ShapeDtypeStruct, kernel: jax.ShapeDtypeStruct, out_length: int) -> Operands:
    y_bar = jax.ShapeDtypeStruct((*x.shape[:-2], out_length, kernel.shape[-1]), x.dtype)
    return {"forward": (x, kernel), "input_gradient": (y_bar, kernel), "kernel_gradient": (x, y_bar)}
