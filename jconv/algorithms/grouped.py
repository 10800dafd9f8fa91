"""A dense convolution for each group: XLA's CPU compiler has a fast kernel for those and a slow one for groups.

The matrix products in that kernel want some thirty columns (on a Xeon up to 48, `jconv/machine.py`), and a group often
has fewer out channels. So several neighbouring outputs are computed as more channels of one output: their windows
overlap in all but a sample, and a kernel with a row of zeros between them costs little. (8, 1024, 128) with 9 taps in 8
groups: 4.8 ms by XLA, 3.1 a group at a time, 2.5 with two outputs at once; (8, 1024, 256) with 3 taps in 32 groups:
7.3, 5.6 and, with four, 2.5 (two cores of an AMD EPYC, JAX 0.10.2).

The groups are calls of one computation, each with its number, so that XLA compiles it once: the forward pass of those 8
groups compiles in 52 ms for 195 written out, of 16 groups of 16 channels in 55 for 363, and takes as long (0.94 to
1.01; the same, 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ..apart import for_each_number
from ..geometry import Geometry
from ..machine import Machine, here
from . import lax
from .operands import as_forward, by_group, pad, swap_channels

LOCAL = True


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
    at_once = outputs_at_once(g, kernel.shape[2] // g.groups, here())
    return _each(g, lambda x, w, g: _forward_of_one(x, w, g, at_once, precision), x, kernel)


def outputs_at_once(g: Geometry, out_per_group: int, machine: Machine) -> int:
    """How many neighbouring outputs are computed as one: a power of two, at most one more than there are taps.

    >>> from jconv.machine import EPYC, XEON
    >>> [outputs_at_once(Geometry(512, 9), columns, machine) for machine in (EPYC, XEON) for columns in (16, 24, 32)]
    [2, 1, 1, 2, 2, 1]
    """
    if g.stride > 1 or g.dilation > 1:  # neighbours then share no sample, or few
        return 1
    at_once = 1
    while 2 * at_once * out_per_group <= machine.most_columns and 2 * at_once <= min(g.kernel_size + 1, g.out_length):
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
    """A dense convolution of stride 1, `at_once` outputs to a window."""
    if at_once == 1:
        return lax.forward(x, kernel, g, precision)
    kernel_size, in_channels, out_channels = kernel.shape
    late = [(p, at_once - 1 - p) for p in range(at_once)]
    kernel = jnp.stack([jnp.pad(kernel, [ends, (0, 0), (0, 0)]) for ends in late], axis=2)
    kernel = kernel.reshape(kernel_size + at_once - 1, in_channels, at_once * out_channels)
    windows = -(-g.out_length // at_once)
    high = windows * at_once - 1 + kernel_size - g.length - g.low
    wide = Geometry(g.length, kernel_size + at_once - 1, at_once, g.low, high, 1, 1)
    y = lax.forward(x, kernel, wide, precision).reshape(x.shape[0], windows * at_once, out_channels)
    return pad(y, 0, g.out_length - windows * at_once)
