"""The windows that a convolution reads from a stream, and arrays from which a valid convolution can read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..geometry import reach


class StreamWindow(NamedTuple):
    """The windows of a convolution or of pooling; `low` is the padding in front of the stream, in samples."""

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    low: int = 0

    @property
    def reach(self) -> int:
        """Samples from the first to the last of a window."""
        return reach(self.kernel_size, self.dilation)

    @property
    def buffer_size(self) -> int:
        """Samples to keep between steps."""
        return max(self.reach - 1, self.low)


class ReadyWindows(NamedTuple):
    """Samples (..., length, channels) whose windows a valid convolution with this stride and dilation reads."""

    samples: jax.Array
    stride: int
    dilation: int


def combine_taps(taps: list[jax.Array], interleaved: bool) -> ReadyWindows:
    """Windows from the samples of each kernel element, (..., outputs, channels).

    With `interleaved`, the samples of a window are next to each other, otherwise the samples of a kernel element.
    """
    size, outputs = len(taps), taps[0].shape[-2]
    if interleaved:
        stacked = jnp.stack(taps, axis=-2)
        return ReadyWindows(stacked.reshape(*stacked.shape[:-3], outputs * size, stacked.shape[-1]), size, 1)
    return ReadyWindows(concatenate(taps), 1, outputs)


def concatenate(arrays: Sequence[jax.Array], axis: int = -2) -> jax.Array:
    """Like `jnp.concatenate`, without an operation if at most one array is not empty."""
    some = [array for array in arrays if array.shape[axis]] or [arrays[0]]
    return some[0] if len(some) == 1 else jnp.concatenate(some, axis=axis)


def empty_output(function: Callable[[jax.Array], jax.Array], x: jax.Array, samples: int) -> jax.Array:
    """The result of `function` for `x` (..., length, channels), without samples.

    `samples` is a length for which `function` has a result.
    """
    y = jax.eval_shape(function, jax.ShapeDtypeStruct((*x.shape[:-2], samples, x.shape[-1]), x.dtype))
    return jnp.zeros((*y.shape[:-2], 0, y.shape[-1]), y.dtype)
