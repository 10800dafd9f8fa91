"""Prevents XLA from fusing an operation with the code around it.

On CPUs XLA inlines calls and then decides what to fuse. A sum of shifted copies that is followed by a reduction (a
mean, batch normalization, the loss in a scan's step) becomes part of the reduction's loop, which runs in one thread
without vector instructions: up to 20 times slower. An isolated operation also takes the same time in a network as in
the measurements of the planner. An `optimization_barrier` does not help: XLA writes the same fused loop. The price is
that a bias and an activation are one more pass over memory. XLA's own convolution and matrix products are never fused,
so they are not isolated.

Within an isolated operation, calls have another use. Each loop that XLA generates takes about 10 ms to compile, but
identical loops are compiled only once. If they are inlined, the loops of an operation's groups differ in their offsets;
if each is a call with the group's index as argument, they are identical.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

_in_isolation: ContextVar[bool] = ContextVar("in_isolation", default=False)


def isolate(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """Makes a function a call that XLA does not inline.

    >>> import jax.numpy as jnp
    >>> program = jax.jit(isolate(lambda x: x + 1)).lower(jnp.zeros(3)).compile()
    >>> " call(" in program.as_text()
    True
    """

    def traced(*operands: jax.Array) -> jax.Array:
        token = _in_isolation.set(True)
        try:
            return function(*operands)
        finally:
            _in_isolation.reset(token)

    return _as_call(traced)


def merge_singleton_axes(y: jax.Array) -> jax.Array:
    """Flattens a result that has axes of size 1. The caller restores the shape outside of the call.

    Otherwise XLA lays out the result in another order than the caller needs, and compiles a copy. This is for small
    results: the loop that computes a flat array is slower.

    >>> merge_singleton_axes(np.zeros((3, 1, 2))).shape, merge_singleton_axes(np.zeros((3, 4))).shape
    ((6,), (3, 4))
    """
    return y.reshape(-1) if 1 in y.shape else y


def call_per_index(function: Callable[..., jax.Array], count: int, *operands: jax.Array) -> list[jax.Array]:
    """Returns `function(*operands, index)` for each index below `count`.

    Within an isolated operation these are calls of one computation, which is compiled once.

    >>> [int(y) for y in call_per_index(lambda x, index: x + index, 3, np.int32(5))]
    [5, 6, 7]
    """
    stage = isolate_stage(function)
    # The barrier keeps XLA from writing the index into each call, after which no two would be identical.
    indices = jax.lax.optimization_barrier(tuple(np.int32(index) for index in range(count)))
    return [stage(*operands, index) for index in indices]


def isolate_stage(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Isolates a stage of an operation, if the operation itself is isolated. Otherwise XLA may fuse it.

    >>> isolate_stage(lambda x: x + 1)(np.int32(5)).item()
    6
    """
    return _as_call(function) if _in_isolation.get() else jax.jit(function)


def _as_call(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    compiled = jax.jit(function)
    # XLA reads the attribute from the call that produces the value.
    return lambda *operands: set_xla_metadata(compiled(*operands), inlineable="false")
