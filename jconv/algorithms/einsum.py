"""Pad, take every window, contract: the definition written in `jax.numpy`.

Nothing here is an XLA convolution. The faces are slices (or a gather) and one contraction, which XLA's partitioner
gets right for every layout of the operands over devices, so this is also what a program for several devices falls
back to where `partitioned.py` has no place.
With kernel size 1 and stride 1 there is one window a sample and the contraction is a plain matrix product.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..geometry import Geometry, is_symbolic, make_geometry
from .operands import by_group, padded, spread, swap_channels, wide_einsum

LOCAL = True

# Windows of few taps are strided slices, which XLA fuses into the contraction's operand; a slice a tap takes long to
# compile for long kernels, so those are one gather.
MOST_SLICES = 64


def unfold(x: jax.Array, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> jax.Array:
    """Every window of `x`: (..., length, channels) to (..., windows, kernel_size, channels).

    `unfold(x)[..., t, k, :]` is `x[..., t * stride + k * dilation, :]`. Raises `ValueError` for sizes below one and
    an `x` shorter than the reach.

    >>> unfold(jnp.arange(8.0)[:, None], 3, stride=2, dilation=2)[..., 0].tolist()
    [[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]]
    """
    x = jnp.asarray(x)
    checks.check_input(x, "unfold")
    geometry = make_geometry(x.shape[-2], kernel_size, stride=stride, dilation=dilation)
    # As the geometry has them: Python's own integers, whatever came in.
    kernel_size, stride, dilation = geometry.kernel_size, geometry.stride, geometry.dilation
    windows = geometry.out_length
    if kernel_size == 1 and stride == 1:
        return x[..., None, :]
    if kernel_size > MOST_SLICES:
        first = jnp.arange(windows, dtype=np.int32)[:, None] * stride
        at = first + np.arange(kernel_size, dtype=np.int32) * dilation
        return jnp.take(x, at, axis=-2, mode="clip")
    axis = x.ndim - 2
    taps = []
    for k in range(kernel_size):
        first = k * dilation
        last = first + (windows - 1) * stride
        taps.append(jax.lax.slice_in_dim(x, first, last + 1, stride, axis=axis))
    return jnp.stack(taps, axis=-2)


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y[n, t, o] = sum_k sum_c x[n, t * stride + k * dilation - low, c] * kernel[k, c, o]`."""
    g = geometry
    windows = unfold(padded(x, g), g.kernel_size, stride=g.stride, dilation=g.dilation)
    return _contract(windows, kernel, g.groups, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward contraction again: `y_bar` with zeros between its samples, the kernel reversed in time."""
    g = geometry
    windows = unfold(spread(y_bar, g), g.kernel_size, dilation=g.dilation)
    return _contract(windows, swap_channels(kernel, g), g.groups, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Windows of `x` against `y_bar`, summed over batch and time."""
    g = geometry
    if g.groups == g.dilation == 1 and not is_symbolic(x.shape[0]) and x.shape[0] == 1:
        # A product over one axis alone: over two XLA turns the windows round first. 64 times (1, 150, 64) to 128
        # channels with 5 taps: 6.0 ms so, 10.9 over two axes, 15.6 by lax (median of 15, two cores of an AMD EPYC,
        # JAX 0.10.2, 2026-11-28).
        kernel_bar = wide_einsum("ta,to->ao", _rows(padded(x, g)[0], g), y_bar[0], precision)
        return kernel_bar.reshape(g.kernel_size, x.shape[-1], y_bar.shape[-1]).astype(x.dtype)
    windows = unfold(padded(x, g), g.kernel_size, stride=g.stride, dilation=g.dilation)
    if g.groups == 1:
        return wide_einsum("ntki,nto->kio", windows, y_bar, precision).astype(x.dtype)
    kernel_bar = wide_einsum("ntkgi,ntgo->kigo", by_group(windows, g.groups), by_group(y_bar, g.groups), precision)
    return kernel_bar.reshape(*kernel_bar.shape[:2], y_bar.shape[-1]).astype(x.dtype)


def _rows(x: jax.Array, g: Geometry) -> jax.Array:
    """The windows of one padded example, (length, channels), as rows (out_length, kernel_size * channels).

    Taps side by side would be one loop that asks of each number which tap it is: of the 40 taps of (1, 152, 32) four
    times as slow.
    """
    starts = jax.lax.iota(np.int32, g.out_length) * g.stride
    rows = jax.vmap(lambda start: jax.lax.dynamic_slice_in_dim(x, start, g.kernel_size))(starts)
    return rows.reshape(g.out_length, g.kernel_size * x.shape[-1])


def _contract(windows: jax.Array, kernel: jax.Array, groups: int, precision: Any) -> jax.Array:
    if groups == 1:
        return wide_einsum("ntki,kio->nto", windows, kernel, precision).astype(kernel.dtype)
    y = wide_einsum("ntkgi,kigo->ntgo", by_group(windows, groups), by_group(kernel, groups), precision)
    return y.reshape(*y.shape[:-2], kernel.shape[-1]).astype(kernel.dtype)
