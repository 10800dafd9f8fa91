"""Prevents XLA from fusing an operation with the code around it.

On a CPU, XLA writes a call out where it stands and then decides what to merge. A sum of shifted copies that meets a
reduction (a mean, batch normalization, the loss of a scan's step) becomes part of the reduction's loop: one thread,
one number at a time. Depthwise (16, 512, 256) with 7 taps, and the mean square of its output: 15 ms, where the
convolution alone takes 0.6; in a step of a scan 4.9 ms. Isolated from fusion: 0.8 and 0.5 ms (median of 9, two cores
of an AMD EPYC, JAX 0.10.2, 2026-11-24). Isolation also makes a time that was measured for an operation alone hold in a
network. An `optimization_barrier` around the operation does not help: XLA writes the same fused loop, 15 ms.

The price is that a bias and an activation are one more pass over memory: relu(y + bias) of the same takes 1.1 ms for
0.9; relu, convolution, gelu and convolution again 3.2 for 2.9.

A call has another use inside an operation. Each loop that XLA writes costs some 10 ms to compile, and identical loops
are compiled once. Written out, the loops of an operation's groups differ in their offsets; called with the group's
number as an argument they are identical.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

_calls_stay: ContextVar[bool] = ContextVar("calls_stay", default=False)


def apart(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """`function`, called where it stands and not written out there.

    >>> import jax.numpy as jnp
    >>> program = jax.jit(apart(lambda x: x + 1)).lower(jnp.zeros(3)).compile()
    >>> " call(" in program.as_text()
    True
    """

    def traced(*operands: jax.Array) -> jax.Array:
        token = _calls_stay.set(True)
        try:
            return function(*operands)
        finally:
            _calls_stay.reset(token)

    return _called(traced)


def in_one_line(y: jax.Array) -> jax.Array:
    """A small result with axes of one element as one axis, for the caller to shape again.

    XLA would lay it out in another order than the caller has, and compile a copy. Not one that takes long to compute:
    the loop that writes it counts in one line too, of (1, 3199, 512) 2 ms for 0.24.

    >>> in_one_line(np.zeros((3, 1, 2))).shape, in_one_line(np.zeros((3, 4))).shape
    ((6,), (3, 4))
    """
    return y.reshape(-1) if 1 in y.shape else y


def for_each_number(function: Callable[..., jax.Array], count: int, *operands: jax.Array) -> list[jax.Array]:
    """`function(*operands, number)` for each number below `count`; within an operation that is called, compiled once.

    >>> [int(y) for y in for_each_number(lambda x, number: x + number, 3, np.int32(5))]
    [5, 6, 7]
    """
    one = part(function)
    # Behind a barrier, or XLA would write each number into its call, and no two would be alike.
    numbers = jax.lax.optimization_barrier(tuple(np.int32(number) for number in range(count)))
    return [one(*operands, number) for number in numbers]


def part(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`function`, within an operation that is called a call too; elsewhere XLA may merge it with the rest.

    >>> part(lambda x: x + 1)(np.int32(5)).item()
    6
    """
    return _called(function) if _calls_stay.get() else jax.jit(function)


def _called(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    separate = jax.jit(function)
    # The attribute belongs to the call, which is what made the value.
    return lambda *operands: set_xla_metadata(separate(*operands), inlineable="false")
