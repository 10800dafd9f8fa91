"""A dense convolution for each group: XLA's CPU compiler has a fast kernel for those and a slow one for groups.

The matrix products in that kernel want some thirty columns, and a group often has fewer out channels. So several
neighbouring outputs are computed as more channels of one output: their windows overlap in all but a sample, and a
kernel with a row of zeros between them costs little. Over 263 random geometries of few channels this was at most 2.5
times as fast as every other local algorithm, and by more than a tenth in three of ten.

The groups are calls of one computation, each with its number, so that XLA compiles it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ..apart import for_each_number
from ..geometry import Geometry
from . import finite, lax
from .operands import as_forward, by_group, pad, swap_channels

LOCAL = True
# Columns of a matrix product up to which several outputs are computed as one.
MOST_COLUMNS = 32


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One canonical convolution a group, their outputs side by side."""
    return _correlate(x, kernel, geometry, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """At stride 1 the forward pass over `y_bar` with the kernel reversed in time, else a canonical one a group."""
    g = geometry
    if g.stride == 1:
        operand, forward_geometry = as_forward(y_bar, g)
        return _correlate(operand, swap_channels(kernel, g), forward_geometry, precision)
    return _each(g, lambda y, w, g: lax.input_gradient(y, w, g, precision), y_bar, kernel)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One canonical convolution a group, two groups to a step of a loop over them.

    Two convolutions that do not wait for each other run side by side on two cores: (8, 700, 256) with 3 taps in 16
    groups takes 3.3 ms and 0.30 s to compile with all of them written out, 2.5 and 0.14 one to a step, 1.9 and 0.15
    with two.
    """
    g = geometry
    rows = by_group(x, g.groups).transpose(2, 3, 1, 0)
    columns = by_group(y_bar, g.groups).transpose(2, 1, 0, 3)
    dense = replace(g, groups=1)

    def one(_: None, operands: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        return None, lax.taps(*operands, dense, precision)

    kernel_bar = jax.lax.scan(one, None, (rows, columns), unroll=2)[1]
    return kernel_bar.transpose(2, 1, 0, 3).reshape(g.kernel_size, x.shape[-1] // g.groups, y_bar.shape[-1])


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The forward pass, which the input gradient is too, over other operands."""

    def compute(x: jax.Array, kernel: jax.Array, at_once: int) -> jax.Array:
        return _each(g, lambda x, w, g: _forward_of_one(x, w, g, at_once, precision), x, kernel)

    at_once = outputs_at_once(g, kernel.shape[2] // g.groups)
    if at_once == 1:
        return compute(x, kernel, 1)
    return finite.local(
        lambda x, kernel: compute(x, kernel, at_once), lambda x, kernel: compute(x, kernel, 1), x, kernel, g
    )


def outputs_at_once(g: Geometry, out_per_group: int) -> int:
    """How many neighbouring outputs are computed as one: a power of two, whose windows all share a sample.

    >>> [outputs_at_once(Geometry(512, 9), columns) for columns in (4, 16, 24)]
    [8, 2, 1]
    >>> outputs_at_once(Geometry(512, 9, stride=2), 4)
    4
    """
    if g.dilation > 1:  # neighbours then share few samples
        return 1
    at_once = 1
    while (
        2 * at_once * out_per_group <= MOST_COLUMNS
        and 2 * at_once <= g.out_length
        and (2 * at_once - 1) * g.stride <= g.kernel_size
    ):
        at_once *= 2
    return at_once


def _each(g: Geometry, face: Callable[..., jax.Array], a: jax.Array, b: jax.Array) -> jax.Array:
    """`face` of each group's channels of both operands, the results side by side."""
    dense = replace(g, groups=1)
    if g.groups == 1:
        return face(a, b, dense)

    def one(a: jax.Array, b: jax.Array, group: jax.Array) -> jax.Array:
        return face(_of_group(a, group, g.groups), _of_group(b, group, g.groups), dense)

    return jnp.concatenate(for_each_number(one, g.groups, a, b), axis=-1)


def _of_group(x: jax.Array, group: jax.Array, groups: int) -> jax.Array:
    size = x.shape[-1] // groups
    return jax.lax.dynamic_slice_in_dim(x, group * size, size, axis=-1, allow_negative_indices=False)


def _forward_of_one(x: jax.Array, kernel: jax.Array, g: Geometry, at_once: int, precision: Any) -> jax.Array:
    """A dense convolution, `at_once` outputs to a window."""
    if at_once == 1:
        return lax.forward(x, kernel, g, precision)
    kernel_size, in_channels, out_channels = kernel.shape
    later = (at_once - 1) * g.stride
    ends = [(first, later - first) for first in range(0, later + 1, g.stride)]
    kernel = jnp.stack([jnp.pad(kernel, [end, (0, 0), (0, 0)]) for end in ends], axis=2)
    kernel = kernel.reshape(kernel_size + later, in_channels, at_once * out_channels)
    windows = -(-g.out_length // at_once)
    stride = at_once * g.stride
    high = windows * stride - g.stride + kernel_size - g.length - g.low
    wide = Geometry(g.length, kernel_size + later, stride, g.low, high)
    y = lax.forward(x, kernel, wide, precision).reshape(x.shape[0], windows * at_once, out_channels)
    return pad(y, 0, g.out_length - windows * at_once)
