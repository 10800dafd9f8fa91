"""Convolutions of ragged and packed arrays: each sequence as if it were alone, all in one computation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..algorithms.shared.operands import accumulation_dtype, upcast
from ..geometry import Geometry
from ..primitive import bilinear
from ..ragged.sequences import Sequences
from ..ragged.windows import Window, has_fixed_offsets, iterate_taps, read_windows, take

# Longer kernels are computed from windows instead of one slice per tap, which takes long to compile.
MAX_SLICES = 64


def forward(
    x: jax.Array, kernel: jax.Array, sequences: Sequences, window: Window, groups: int, **how: Any
) -> tuple[jax.Array, Sequences]:
    """Convolves each sequence and returns the sequences of the output. Other outputs may have any finite value.

    In a ragged array the padding is set to zero; if the padding before a sequence depends on its length, each row is
    shifted by its own amount. In a packed array the samples of other segments are set to zero in each window.
    """
    x, out = sequences.replace_padding(x), window.output_sequences(sequences)
    length = x.shape[-2]
    if sequences.packed:
        if kernel.shape[1] == 1:
            return _convolve_channels(x, kernel, sequences, window), out
        return _multiply_windows(_read(x, sequences, window), kernel, groups, **how), out
    geometry = window.geometry(length)
    if window.mode == "zeros" and not window.low_depends_on_length:
        return bilinear.forward(x, kernel, replace(geometry, groups=groups), **how), out
    padded_length = (geometry.out_length - 1) * window.stride + geometry.reach
    at = jnp.arange(padded_length, dtype=np.int32) - window.low(sequences)
    padded = take(upcast(x), at, sequences.begin, sequences.end, window.mode)[0].astype(x.dtype)
    valid = Geometry(padded_length, window.kernel_size, window.stride, dilation=window.dilation, groups=groups)
    return bilinear.forward(padded, kernel, valid, **how), out


def transposed(
    x: jax.Array, kernel: jax.Array, sequences: Sequences, geometry: Geometry, **how: Any
) -> tuple[jax.Array, Sequences]:
    """Like `forward`, for the transposed convolution. `geometry` is the geometry for the complete length.

    A segment of a packed array starts at `stride` times the position where it started.

    Raises:
        ValueError: A segment would become longer than `stride` times its length.
    """
    length, stride = x.shape[-2], geometry.stride
    more = geometry.length - length * stride
    x, out = sequences.replace_padding(x), sequences.repeat(stride)
    if not sequences.packed:
        y = bilinear.input_gradient(x, kernel, geometry, **how)
        return y, out.with_counts(lambda counts: counts + more)
    if more > 0:
        raise ValueError(
            f"this transposed convolution returns {more} samples more than {stride} per sample, so adjacent segments "
            "would overlap; use same padding without output_padding"
        )
    zeros = [(0, 0)] * (x.ndim - 1) + [(0, stride - 1), (0, 0)]
    spread = jnp.pad(x[..., None, :], zeros).reshape(*x.shape[:-2], length * stride, x.shape[-1])
    low = geometry.reach - 1 - geometry.low
    window = Window(geometry.kernel_size, padding=(low, geometry.low), dilation=geometry.dilation)
    y = _multiply_windows(_read(spread, out, window), jnp.swapaxes(jnp.flip(kernel, 0), 1, 2), 1, **how)
    return y, out.with_counts(lambda counts: counts + more)


def _read(x: jax.Array, sequences: Sequences, window: Window) -> jax.Array:
    """Returns the windows. They are read in float32, because the adjoint sums over all windows that read a sample."""
    return read_windows(upcast(x), sequences, window)[0].astype(x.dtype)


def _multiply_windows(windows: jax.Array, kernel: jax.Array, groups: int, **how: Any) -> jax.Array:
    """Multiplies windows (..., out_length, kernel_size, in_channels) by the kernel, as a pointwise convolution."""
    kernel_size, per_group, out_channels = kernel.shape
    grouped = windows.reshape(*windows.shape[:-1], groups, per_group)
    columns = jnp.swapaxes(grouped, -3, -2).reshape(*windows.shape[:-2], groups * kernel_size * per_group)
    kernel = kernel.reshape(1, kernel_size * per_group, out_channels)
    return bilinear.forward(columns, kernel, Geometry(columns.shape[-2], 1, groups=groups), **how)


def _convolve_channels(x: jax.Array, kernel: jax.Array, sequences: Sequences, window: Window) -> jax.Array:
    """Convolves a packed array with one in channel per group, as a sum over taps that XLA fuses."""
    dtype = accumulation_dtype(x)
    weights = kernel[:, 0].astype(dtype)
    samples = jnp.repeat(x, weights.shape[1] // x.shape[-1], axis=-1).astype(dtype)
    if has_fixed_offsets(sequences, window) and window.kernel_size <= MAX_SLICES:
        y = sum(tap * weight for tap, weight in zip(iterate_taps(samples, sequences, window), weights, strict=True))
    else:
        y = (read_windows(samples, sequences, window)[0] * weights).sum(axis=-2)
    return jnp.asarray(y).astype(x.dtype)
