"""The convolutions of ragged and packed arrays: each sequence by itself, computed for all of them at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from ..primitive import bilinear
from ..ragged.sequences import Sequences, Window, is_still, read, repeated, taken, taps

# A slice a tap takes long to compile for long kernels.
MOST_TAPS = 64


def forward(
    x: jax.Array, kernel: jax.Array, sequences: Sequences, window: Window, groups: int, **how: Any
) -> tuple[jax.Array, Sequences]:
    """The convolution of each sequence by itself, and where the outputs are; those of no sequence are anything finite.

    A ragged array is cleared of its padding and convolved as it is, or as it lies after each row was padded by its own
    amount. Of a packed one each window is cleared of the samples that are another segment's.
    """
    x, out = sequences.only(x), window.after(sequences)
    length = x.shape[-2]
    if sequences.packed:
        if kernel.shape[1] == 1:
            return _channelwise(x, kernel, sequences, window), out
        return _product(read(x, sequences, window)[0], kernel, groups, **how), out
    geometry = window.geometry(length)
    if window.mode == "zeros" and not window.low_differs:
        return bilinear.forward(x, kernel, replace(geometry, groups=groups), **how), out
    padded_length = (geometry.out_length - 1) * window.stride + geometry.reach
    at = jnp.arange(padded_length) - window.low(sequences)
    padded, _ = taken(x, at, sequences.begin, sequences.end, window.mode)
    valid = Geometry(padded_length, window.kernel_size, window.stride, dilation=window.dilation, groups=groups)
    return bilinear.forward(padded, kernel, valid, **how), out


def transposed(
    x: jax.Array, kernel: jax.Array, sequences: Sequences, geometry: Geometry, **how: Any
) -> tuple[jax.Array, Sequences]:
    """The transposed convolution of each sequence by itself, as `forward`; `geometry` is that of the whole length.

    A segment of a packed array begins at `stride` times where it began. Raises `ValueError` where it would be longer
    than `stride` times what it was.
    """
    length, stride = x.shape[-2], geometry.stride
    more = geometry.length - length * stride
    x, out = sequences.only(x), repeated(sequences, stride)
    if not sequences.packed:
        y = bilinear.input_gradient(x, kernel, geometry, **how)
        return y, out.after(lambda counts: counts + more)
    if more > 0:
        raise ValueError(
            f"this transposed convolution gives {more} samples more than {stride} for each, so neighbours of a packed "
            "row would overlap; use same padding without output_padding"
        )
    zeros = [(0, 0)] * (x.ndim - 1) + [(0, stride - 1), (0, 0)]
    spread = jnp.pad(x[..., None, :], zeros).reshape(*x.shape[:-2], length * stride, x.shape[-1])
    low = geometry.reach - 1 - geometry.low
    window = Window(geometry.kernel_size, padding=(low, geometry.low), dilation=geometry.dilation)
    windows, _ = read(spread, out, window)
    y = _product(windows, jnp.swapaxes(jnp.flip(kernel, 0), 1, 2), 1, **how)
    return y, out.after(lambda counts: counts + more)


def _product(windows: jax.Array, kernel: jax.Array, groups: int, **how: Any) -> jax.Array:
    """Windows (..., out_length, kernel_size, in) times the kernel, as a convolution of kernel size 1."""
    kernel_size, per_group, out_channels = kernel.shape
    grouped = windows.reshape(*windows.shape[:-1], groups, per_group)
    columns = jnp.swapaxes(grouped, -3, -2).reshape(*windows.shape[:-2], groups * kernel_size * per_group)
    kernel = kernel.reshape(1, kernel_size * per_group, out_channels)
    return bilinear.forward(columns, kernel, Geometry(columns.shape[-2], 1, groups=groups), **how)


def _channelwise(x: jax.Array, kernel: jax.Array, sequences: Sequences, window: Window) -> jax.Array:
    """The convolution of a packed array by a kernel of one in channel a group: products tap by tap, which XLA fuses."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    weights = kernel[:, 0].astype(wide)
    wider = jnp.repeat(x, weights.shape[1] // x.shape[-1], axis=-1).astype(wide)
    if is_still(sequences, window) and window.kernel_size <= MOST_TAPS:
        y = sum(tap * weight for tap, weight in zip(taps(wider, sequences, window), weights, strict=True))
    else:
        y = (read(wider, sequences, window)[0] * weights).sum(axis=-2)
    return jnp.asarray(y).astype(x.dtype)
