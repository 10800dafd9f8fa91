"""Pooling to a fixed output length, with windows that depend on the input length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ...geometry import check_positive, is_symbolic
from ...ragged.windows import take
from ..base import Layer, sequence_shape
from ..ragged import unsupported_lengths
from ..types import Array, Params, Shape
from .pooling import AveragePooling1D, MaxPooling1D, maximum_numpy


def window_indices(length: int, output_size: int) -> tuple[Array, Array]:
    """The sample indices of each window and a mask of the valid ones, both (output_size, size of the longest window).

    Window i has the samples from `floor(i * length / output_size)` up to, but not including,
    `ceil((i + 1) * length / output_size)`, so neighbours may share a sample. Shorter windows are padded with invalid
    indices.

    >>> window_indices(8, 3)[0].tolist()
    [[0, 1, 2, 2], [2, 3, 4, 5], [5, 6, 7, 7]]
    >>> window_indices(8, 3)[1].sum(axis=1).tolist()
    [3, 4, 3]
    """
    _check_length(length)
    first, end = _bounds(np.arange(output_size), length, output_size)
    at = first[:, None] + np.arange((end - first).max())
    return np.minimum(at, end[:, None] - 1).astype(np.int32), at < end[:, None]


def _check_length(length: Any) -> None:
    if is_symbolic(length):
        raise ValueError(f"the length of x must be a number for adaptive pooling, got the symbolic length {length}")


def _bounds(index: Any, length: Any, output_size: int) -> tuple[Any, Any]:
    """The first sample of the window with this index, and the one after its last."""
    return index * length // output_size, -(-(index + 1) * length // output_size)


class _AdaptivePooling(Layer):
    output_size: int
    fill: ClassVar[float]
    _reduce_windows: ClassVar[Any]

    _checks = (("output_size", check_positive),)
    _receptive_field = None

    def output_shape(self, input_shape: Any) -> Shape:
        """`(output_size, channels)`, for any length."""
        _, channels = sequence_shape(self, input_shape)
        return self.output_size, channels

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        if sequences.packed:
            raise unsupported_lengths(self, "packed segments shorter than output_size would grow into their neighbours")
        _check_length(x.shape[1])
        first, end = _bounds(jnp.arange(self.output_size), sequences.counts, self.output_size)
        # At least the size of the longest window.
        size = x.shape[1] // self.output_size + 2
        at = (first[..., None] + jnp.arange(size)).reshape(len(first), -1)
        first, end = (jnp.repeat(bound, size, axis=-1) for bound in (first, end))
        windows, valid = take(jnp.asarray(x), at, first, end, fill=self.fill)
        shape = len(first), self.output_size, size
        y = self._reduce_windows(windows.reshape(*shape, x.shape[-1]), valid.reshape(shape))
        out = sequences.with_counts(lambda counts: jnp.full_like(counts, self.output_size))
        return out.replace_padding(y), out


@dataclass(frozen=True)
class AdaptiveMaxPooling1D(_AdaptivePooling):
    """The maximum of each of `output_size` windows, as Keras's `AdaptiveMaxPooling1D`.

    Output sample i is the maximum of the input samples from `floor(i * length / output_size)` up to, but not including,
    `ceil((i + 1) * length / output_size)`. The first of equal values gets the gradient. Keras on JAX computes these
    bounds in float32, so for some lengths (11 to 7, for example) its windows are one sample too long, or the output is
    NaN; jconv computes them exactly. Raises `ValueError` for an `output_size` below one.

    >>> AdaptiveMaxPooling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0], [2.0]]]))[0].ravel().tolist()
    [3.0, 3.0]
    """

    fill = MaxPooling1D.fill
    _reduce_windows = MaxPooling1D._reduce_windows

    output_size: int

    def _jax(self, params: Params, x: Any) -> jax.Array:
        at, valid = window_indices(x.shape[-2], self.output_size)
        # Invalid indices repeat the window's last sample, which does not change the maximum.
        return self._reduce_windows(jnp.take(jnp.asarray(x), at, axis=-2, mode="clip"), valid)

    def _numpy(self, params: Params, x: Any) -> Array:
        at, _ = window_indices(x.shape[-2], self.output_size)
        return maximum_numpy(np.take(x, at, axis=-2))[..., 0, :]


@dataclass(frozen=True)
class AdaptiveAveragePooling1D(_AdaptivePooling):
    """The mean of each of `output_size` windows, as Keras's `AdaptiveAveragePooling1D`.

    The windows are as in `AdaptiveMaxPooling1D`. bfloat16 and float16 accumulate in float32. Raises `ValueError`
    for an `output_size` below one.

    >>> AdaptiveAveragePooling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0], [2.0]]]))[0].ravel().tolist()
    [2.0, 2.5]
    """

    fill = AveragePooling1D.fill
    _reduce_windows = AveragePooling1D._reduce_windows

    output_size: int

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        at, valid = window_indices(x.shape[-2], self.output_size)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        pools = jnp.where(valid[..., None], jnp.take(x.astype(wide), at, axis=-2, mode="clip"), 0)
        return (pools.sum(axis=-2) / jnp.asarray(valid.sum(axis=-1, keepdims=True), wide)).astype(x.dtype)

    def _numpy(self, params: Params, x: Any) -> Array:
        # Window by window, so that the reference is independent of `window_indices`.
        length, size = x.shape[-2], self.output_size
        means = [x[:, i * length // size : -(-(i + 1) * length // size)].mean(axis=1) for i in range(size)]
        return np.stack(means, axis=1)
