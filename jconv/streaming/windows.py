"""Which samples a window reads: its taps, and samples laid out for a valid convolution to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Taps(NamedTuple):
    """The windows that are read: sizes in samples, as of a convolution. `early` are samples before the first."""

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    early: int = 0

    @property
    def reach(self) -> int:
        """Samples from the first tap to the last."""
        return (self.kernel_size - 1) * self.dilation + 1

    @property
    def kept(self) -> int:
        """Samples that must be kept between steps."""
        return max(self.reach - 1, self.early)


class Ready(NamedTuple):
    """Samples (..., length, channels) of which a valid convolution with this stride and dilation reads the windows."""

    samples: jax.Array
    stride: int
    dilation: int


def gathered(taps: list[jax.Array], interleaved: bool) -> Ready:
    """The samples of each tap (..., outputs, channels) as samples of which windows are read."""
    size, outputs = len(taps), taps[0].shape[-2]
    if interleaved:
        stacked = jnp.stack(taps, axis=-2)
        return Ready(stacked.reshape(*stacked.shape[:-3], outputs * size, stacked.shape[-1]), size, 1)
    return Ready(joined(taps), 1, outputs)


def joined(arrays: Sequence[jax.Array], axis: int = -2) -> jax.Array:
    """Arrays (..., length, channels) one after the other along an axis; those of no length are left out."""
    some = [array for array in arrays if array.shape[axis]] or [arrays[0]]
    return some[0] if len(some) == 1 else jnp.concatenate(some, axis=axis)
