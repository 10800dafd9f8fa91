"""One dense convolution per group: XLA's CPU kernel is fast for dense convolutions and slow for grouped ones.

The matrix products in that kernel are efficient from about 32 columns, and a group often has fewer out channels. So
several consecutive outputs are computed as the channels of one wider window. Their windows overlap in all but a few
samples, and the kernel has zeros for the samples that an output does not read. For geometries of few channels this is
up to 2.5 times as fast as every other local algorithm.

The groups are calls of one computation with the group's index as argument, so XLA compiles it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from . import lax
from .shared import finite
from .shared.no_fusion import call_per_index
from .shared.operands import input_gradient_as_forward, pad, split_groups, transpose_kernel

LOCAL = True
# Outputs are combined up to this number of columns (outputs per window * out channels per group).
MAX_COLUMNS = 32


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One dense convolution per group, concatenated."""
    return _correlate(x, kernel, geometry, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """At stride 1 the forward pass of `y_bar` with the transposed kernel, otherwise one input gradient per group."""
    g = geometry
    if g.stride == 1:
        operand, forward_geometry = input_gradient_as_forward(y_bar, g)
        return _correlate(operand, transpose_kernel(kernel, g), forward_geometry, precision)
    return _for_each_group(g, lambda y, w, g: lax.input_gradient(y, w, g, precision), y_bar, kernel)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One dense convolution per group, in a scan over the groups.

    The scan computes two groups per step, because independent convolutions run in parallel: 1.3 times as fast on two
    cores.
    """
    g = geometry
    rows = split_groups(x, g.groups).transpose(2, 3, 1, 0)
    columns = split_groups(y_bar, g.groups).transpose(2, 1, 0, 3)
    dense = replace(g, groups=1)

    def step(_: None, operands: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        return None, lax.transposed_kernel_gradient(*operands, dense, precision)

    kernel_bar = jax.lax.scan(step, None, (rows, columns), unroll=2)[1]
    return kernel_bar.transpose(2, 1, 0, 3).reshape(g.kernel_size, x.shape[-1] // g.groups, y_bar.shape[-1])


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The cross-correlation that both the forward pass and the input gradient compute."""

    def compute(x: jax.Array, kernel: jax.Array, outputs: int) -> jax.Array:
        return _for_each_group(g, lambda x, w, g: _dense_forward(x, w, g, outputs, precision), x, kernel)

    outputs = outputs_per_window(g, kernel.shape[2] // g.groups)
    if outputs == 1:
        return compute(x, kernel, 1)
    return finite.make_local(
        lambda x, kernel: compute(x, kernel, outputs), lambda x, kernel: compute(x, kernel, 1), x, kernel, g
    )


def outputs_per_window(g: Geometry, out_per_group: int) -> int:
    """Returns how many consecutive outputs are computed as the channels of one wider window.

    It is a power of two, and the windows of these outputs have at least one sample in common.

    >>> [outputs_per_window(Geometry(512, 9), columns) for columns in (4, 16, 24)]
    [8, 2, 1]
    >>> outputs_per_window(Geometry(512, 9, stride=2), 4)
    4
    """
    if g.dilation > 1:  # The windows of consecutive outputs then share few samples.
        return 1
    outputs = 1
    while (
        2 * outputs * out_per_group <= MAX_COLUMNS
        and 2 * outputs <= g.out_length
        and (2 * outputs - 1) * g.stride <= g.kernel_size
    ):
        outputs *= 2
    return outputs


def _for_each_group(g: Geometry, operation: Callable[..., jax.Array], a: jax.Array, b: jax.Array) -> jax.Array:
    """Applies an operation to each group's channels of both operands and concatenates the results."""
    dense = replace(g, groups=1)
    if g.groups == 1:
        return operation(a, b, dense)

    def one(a: jax.Array, b: jax.Array, group: jax.Array) -> jax.Array:
        return operation(_select_group(a, group, g.groups), _select_group(b, group, g.groups), dense)

    return jnp.concatenate(call_per_index(one, g.groups, a, b), axis=-1)


def _select_group(x: jax.Array, group: jax.Array, groups: int) -> jax.Array:
    size = x.shape[-1] // groups
    return jax.lax.dynamic_slice_in_dim(x, group * size, size, axis=-1, allow_negative_indices=False)


def _dense_forward(x: jax.Array, kernel: jax.Array, g: Geometry, outputs: int, precision: Any) -> jax.Array:
    """A dense convolution that computes `outputs` consecutive outputs per window."""
    if outputs == 1:
        return lax.forward(x, kernel, g, precision)
    kernel_size, in_channels, out_channels = kernel.shape
    extra_taps = (outputs - 1) * g.stride
    paddings = [(first, extra_taps - first) for first in range(0, extra_taps + 1, g.stride)]
    kernel = jnp.stack([jnp.pad(kernel, [padding, (0, 0), (0, 0)]) for padding in paddings], axis=2)
    kernel = kernel.reshape(kernel_size + extra_taps, in_channels, outputs * out_channels)
    windows = -(-g.out_length // outputs)
    stride = outputs * g.stride
    high = windows * stride - g.stride + kernel_size - g.length - g.low
    wide_geometry = Geometry(g.length, kernel_size + extra_taps, stride, g.low, high)
    y = lax.forward(x, kernel, wide_geometry, precision).reshape(x.shape[0], windows * outputs, out_channels)
    return pad(y, 0, g.out_length - windows * outputs)
