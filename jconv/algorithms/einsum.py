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
from ..geometry import Geometry, make_geometry

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
    windows = unfold(pad(x, g.low, g.high), g.kernel_size, stride=g.stride, dilation=g.dilation)
    return _contract(windows, kernel, g.groups, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward contraction again: `y_bar` with zeros between its samples, the kernel reversed in time."""
    g = geometry
    low = g.reach - 1 - g.low
    high = g.length - 1 - (g.out_length - 1) * g.stride + g.low
    spread = pad(y_bar, low, high, g.stride - 1)
    return _contract(unfold(spread, g.kernel_size, dilation=g.dilation), swap_channels(kernel, g), g.groups, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Windows of `x` against `y_bar`, summed over batch and time."""
    g = geometry
    windows = unfold(pad(x, g.low, g.high), g.kernel_size, stride=g.stride, dilation=g.dilation)
    if g.groups == 1:
        return _einsum("ntki,nto->kio", windows, y_bar, precision)
    kernel_bar = _einsum("ntkgi,ntgo->kigo", _by_group(windows, g.groups), _by_group(y_bar, g.groups), precision)
    return kernel_bar.reshape(*kernel_bar.shape[:2], y_bar.shape[-1])


def swap_channels(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The kernel of the input gradient: reversed in time, in and out channels swapped within each group."""
    kernel_size, in_per_group, out_channels = kernel.shape
    groups = geometry.groups
    grouped = jnp.flip(kernel, 0).reshape(kernel_size, in_per_group, groups, out_channels // groups)
    return grouped.transpose(0, 3, 2, 1).reshape(kernel_size, out_channels // groups, groups * in_per_group)


def _contract(windows: jax.Array, kernel: jax.Array, groups: int, precision: Any) -> jax.Array:
    if groups == 1:
        return _einsum("ntki,kio->nto", windows, kernel, precision)
    y = _einsum("ntkgi,kigo->ntgo", _by_group(windows, groups), _by_group(kernel, groups), precision)
    return y.reshape(*y.shape[:-2], kernel.shape[-1])


def _by_group(x: jax.Array, groups: int) -> jax.Array:
    # Not -1 for the last size, which an empty batch leaves open.
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _einsum(subscripts: str, a: jax.Array, b: jax.Array, precision: Any) -> jax.Array:
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.einsum(subscripts, a, b, precision=precision, preferred_element_type=wide).astype(a.dtype)


def pad(x: jax.Array, low: int, high: int, between: int = 0) -> jax.Array:
    """Zeros before, after and between the samples of (batch, length, channels)."""
    # lax.pad takes negative amounts as crops, which the input gradient of a convolution with much padding needs.
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (low, high, between), (0, 0, 0)])
