"""The windows of variable-length sequences: what each output sample reads.

Samples outside a sequence are replaced, never multiplied by zero, so that a NaN there affects neither values nor
derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..algorithms.einsum import unfold
from ..geometry import Geometry, Padding, pad_amounts
from .sequences import Sequences


class Window(NamedTuple):
    """The options of a convolution or of pooling that determine what an output sample reads.

    `mode` is the `padding_mode`.

    >>> Window(3, padding="causal").geometry(10).out_length
    10
    """

    kernel_size: int
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1
    mode: str = "zeros"

    def geometry(self, length: Any) -> Geometry:
        """The geometry for a length, or for an array of lengths, without checks."""
        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        low, high = pad_amounts(length, self.kernel_size, **options)
        return Geometry(length, self.kernel_size, self.stride, low, high, self.dilation)

    @property
    def low_depends_on_length(self) -> bool:
        """Whether the padding at the start depends on the length."""
        return self.padding == "same" and self.stride > 1

    def low(self, sequences: Sequences) -> Any:
        """The padding at the start of each sequence."""
        return self.geometry(sequences.counts).low

    def output_sequences(self, sequences: Sequences) -> Sequences:
        """The sequences of the output. Raises `ValueError` for a packed array whose sequences would become longer."""
        if sequences.packed and self.geometry(1).out_length > 1:
            raise ValueError(
                f"padding={self.padding!r} makes segments longer than they are, so neighbours of a packed row would "
                "overlap; use same, causal or valid"
            )
        return sequences.with_counts(lambda counts: self.geometry(counts).out_length)


def read_windows(x: jax.Array, sequences: Sequences, window: Window, fill: Any = 0) -> tuple[jax.Array, jax.Array]:
    """The windows of all output positions, and which of their samples belong to the sequence.

    Args:
      x: (..., length, channels).
      sequences: the sequences of `x`.
      window: what each output sample reads.
      fill: the value of samples outside the sequence.

    Returns:
      `(windows, is_sample)`: (..., out_length, kernel_size, channels) and booleans (..., out_length, kernel_size). For
      a packed array `out_length` is `length`, and `window.output_sequences` says which positions have an output.
    """
    length = x.shape[-2]
    out_length = length if sequences.packed else window.geometry(length).out_length
    offsets = np.arange(window.kernel_size, dtype=np.int32) * np.int32(window.dilation)
    begin, end = sequences.begin, sequences.end
    first = begin + (jnp.arange(out_length, dtype=np.int32) - begin) * window.stride - window.low(sequences)
    at = first[..., None] + offsets
    if not has_fixed_offsets(sequences, window):
        bounds = _per_tap(begin, window), _per_tap(end, window)
        windows, is_sample = take(x, at.reshape(*at.shape[:-2], -1), *bounds, window.mode, fill)
        shape = out_length, window.kernel_size
        return windows.reshape(*x.shape[:-2], *shape, x.shape[-1]), is_sample.reshape(*x.shape[:-2], *shape)
    # With slices instead of a gather, the gradient is not a scatter.
    is_sample = (begin[..., None] <= at) & (at < end[..., None])
    padded = _pad_zeros(x, window, out_length)
    windows = unfold(padded, window.kernel_size, stride=window.stride, dilation=window.dilation)
    return jnp.where(is_sample[..., None], windows, jnp.asarray(fill, x.dtype)), is_sample


def has_fixed_offsets(sequences: Sequences, window: Window) -> bool:
    """Whether outputs read at the same offsets from their own position in all sequences, so that slices suffice."""
    return window.mode == "zeros" and not window.low_depends_on_length and (not sequences.packed or window.stride == 1)


def iterate_taps(x: jax.Array, sequences: Sequences, window: Window) -> Iterator[jax.Array]:
    """For each kernel element the samples (..., length, channels) that it reads from a packed array.

    Requires `has_fixed_offsets`.
    """
    length, low = x.shape[-2], window.geometry(x.shape[-2]).low
    padded, position = _pad_zeros(x, window, length), jnp.arange(length, dtype=np.int32)
    for k in range(window.kernel_size):
        at = position + k * window.dilation - low
        is_sample = (sequences.begin <= at) & (at < sequences.end)
        tap = jax.lax.slice_in_dim(padded, k * window.dilation, k * window.dilation + length, axis=x.ndim - 2)
        yield jnp.where(is_sample[..., None], tap, 0)


def _pad_zeros(x: jax.Array, window: Window, out_length: int) -> jax.Array:
    """`x` padded or cut so that it has exactly `out_length` windows."""
    geometry = window.geometry(x.shape[-2])
    high = (out_length - 1) * window.stride + geometry.reach - x.shape[-2] - geometry.low
    # Unlike jnp.pad, it also cuts.
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * (x.ndim - 2) + [(geometry.low, high, 0), (0, 0, 0)])


def take(
    x: jax.Array, at: jax.Array, begin: jax.Array, end: jax.Array, mode: str = "zeros", fill: Any = 0
) -> tuple[jax.Array, jax.Array]:
    """`x[..., at, :]` for positions `at` in sequences that are padded by `mode`, and whether each is a sample.

    `at`, `begin` and `end` have the same shape or broadcast to it. With `mode="zeros"`, positions outside the sequence
    have the value `fill`; with another mode, only positions of a sequence without samples.
    """
    is_sample = (begin <= at) & (at < end)
    if mode != "zeros":
        at = begin + position_inside(at - begin, jnp.maximum(end - begin, 1), mode)
        is_sample = jnp.broadcast_to(begin < end, at.shape)
    at = jnp.broadcast_to(jnp.clip(at, 0, x.shape[-2] - 1), is_sample.shape)
    taken = jnp.take_along_axis(x, at[..., None], axis=-2, mode="promise_in_bounds")
    return jnp.where(is_sample[..., None], taken, jnp.asarray(fill, x.dtype)), is_sample


def shift(x: jax.Array, sequences: Sequences, offset: Any) -> jax.Array:
    """Sample `t + offset` of each sequence at its position t, zero if it does not exist.

    `offset` is an integer, or an array with one for each position.
    """
    return take(x, jnp.arange(x.shape[-2], dtype=np.int32) + offset, sequences.begin, sequences.end)[0]


def _per_tap(bound: jax.Array, window: Window) -> jax.Array:
    """A begin or end for each kernel element of each output position."""
    return bound if bound.shape[-1] == 1 else jnp.repeat(bound, window.kernel_size, axis=-1)


def position_inside(at: jax.Array, count: jax.Array, mode: str) -> jax.Array:
    """The position of the sample that `numpy.pad` with this mode repeats at `at`, in a sequence of `count` samples."""
    if mode == "edge":
        return jnp.clip(at, 0, count - 1)
    if mode == "wrap":
        return at % count
    at = at % jnp.maximum(2 * (count - 1), 1)
    return jnp.minimum(at, 2 * (count - 1) - at)
