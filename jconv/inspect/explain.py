"""How a call of `conv1d` is computed: the algorithm of each operation, the reason, the FLOPs and the memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax

from .. import planner
from ..algorithms import OPERATIONS
from ..functional.convolution import conv1d
from ..primitive import bilinear
from .equation import Conv1DEquation, trace_conv1d

# The reason mentions `algorithm="fastest"` if its time, relative to `"auto"`, is at most this.
MAX_TIME_RATIO_OF_FASTEST = 0.9


class OperationPlan(NamedTuple):
    """How one operation is computed.

    Attributes:
        algorithm: Name of the algorithm.
        reason: Why it was chosen.
        flops: Two per multiply-add, including multiply-adds with the zeros of the padding.
        bytes: Size of both operands and the result.
        temporary: Size in bytes of the additional memory that XLA allocates.
    """

    algorithm: str
    reason: str
    flops: int
    bytes: int
    temporary: int


class Plan(NamedTuple):
    """How a convolution and both gradients are computed. Prints as a table."""

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
    """Explains how `conv1d(params, x, **options)` and its gradients are computed on this machine.

    Nothing is computed, but each operation is compiled, because XLA then reports its temporary memory. As part of a
    larger program an operation may need less.

    The reason gives the algorithm's time relative to lax, and the range of sizes over which this time is the geometric
    mean, interpolated from float32 measurements. It also says whether `algorithm="fastest"` is predicted to be at least
    10% faster, and by how much.

    Args:
        params: As in `conv1d`. Arrays may be `jax.ShapeDtypeStruct`s.
        x: As in `conv1d`, or a `jax.ShapeDtypeStruct`.
        **options: The options of `conv1d`.

    Returns:
        A `Plan`, which prints as a table.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> import jax.numpy as jnp
    >>> plan = explain({"kernel": jnp.ones((4, 1, 64))}, jnp.ones((8, 512, 64)), groups=64, padding="causal")
    >>> plan.forward.algorithm, plan.forward.flops
    ('shifts', 2097152)
    """
    equation = trace_conv1d(params, x, **options)
    flops = 2 * equation.sizes.multiply_adds
    plans = []
    for operation, operands in equation.operands.items():
        run = _make_function(equation, operation, options)
        memory = jax.jit(run).lower(*operands).compile().memory_analysis()
        arrays = [*operands, jax.eval_shape(run, *operands)]
        size = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
        algorithm, reason = _explain_choice(equation, operation)
        plans.append(OperationPlan(algorithm, reason, flops, size, memory.temp_size_in_bytes if memory else 0))
    return Plan(*plans)


def _explain_choice(equation: Conv1DEquation, operation: str) -> tuple[str, str]:
    """Returns the algorithm and the reason."""
    if equation.algorithm is None:
        return "shifts", "segment_ids: samples of other segments are set to zero in each window, one tap at a time"
    choice = equation.choose_algorithm(operation, equation.algorithm)
    reason = choice.reason
    if equation.algorithm == planner.AUTO:
        fastest = equation.choose_algorithm(operation, planner.FASTEST)
        if choice.ratio and fastest.ratio and fastest.ratio <= MAX_TIME_RATIO_OF_FASTEST * choice.ratio:
            ratio = fastest.ratio / choice.ratio
            reason += f'; algorithm="fastest" is predicted to take {ratio:.2f} of this time, with {fastest.algorithm}'
    if equation.packed:
        reason = f"segment_ids: samples of other segments are set to zero in each window, then multiplied ({reason})"
    return choice.algorithm, reason


def _make_function(equation: Conv1DEquation, operation: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Returns the operation as a function of both operands, for packed arrays including their windows."""
    if not equation.packed:
        run = getattr(bilinear, operation)
        return partial(run, geometry=equation.geometry, algorithm=equation.algorithm, precision=equation.precision)
    x, kernel = equation.packed
    options = {name: value for name, value in options.items() if name != "activation"}

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv1d({"kernel": kernel}, x, **options)[0]

    if operation == "forward":
        return forward
    if operation == "input_gradient":
        return lambda y_bar, kernel: jax.linear_transpose(lambda x: forward(x, kernel), x)(y_bar)[0]
    return lambda x, y_bar: jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(y_bar)[0]
