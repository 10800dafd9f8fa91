"""What one device needs of its neighbours when the length lies over several devices.

A shard of the length is computed alone once the samples that its first and last windows read from the shards next to it
have been put around it: the halo. Past the ends of the whole the neighbours do not exist and the halo is the zeros that
padding is. The same holds for the input gradient, whose halo is of `y_bar`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .geometry import Geometry


class Halo(NamedTuple):
    """Samples of the neighbours around a shard of the first operand, and the convolution that is left then."""

    before: int
    after: int
    geometry: Geometry


def halo(face: str, geometry: Geometry, shards: int) -> Halo | None:
    """The halo of a face whose length lies over `shards` devices, or None where two neighbours are not enough.

    Both lengths must be cut alike, evenly, and no halo may be longer than a shard.

    >>> halo("forward", Geometry(length=32, kernel_size=3, low=2), 4)
    Halo(before=2, after=0, geometry=Geometry(length=10, kernel_size=3))
    >>> halo("input_gradient", Geometry(length=32, kernel_size=3, low=2), 4)
    Halo(before=0, after=2, geometry=Geometry(length=8, kernel_size=3, padding=(2, 2)))
    """
    g = geometry
    overhang = g.reach - 1
    if g.out_length * g.stride != g.length or g.length % (g.stride * shards) or not 0 <= g.low <= overhang:
        return None
    length, out_length = g.length // shards, g.length // (g.stride * shards)
    if face != "input_gradient":
        before, after = g.low, max(0, overhang + 1 - g.stride - g.low)
        local = replace(g, length=before + length + after, low=0, high=0)
        return Halo(before, after, local) if max(before, after) <= length else None
    # x_bar[m] sums y_bar[t] over the taps that t * stride + tap * dilation - low = m leaves.
    before, after = (overhang - g.low) // g.stride, -(-g.low // g.stride)
    low = g.low + before * g.stride
    high = (before + out_length + after - 1) * g.stride + overhang + 1 - length - low
    local = replace(g, length=length, low=low, high=high)
    return Halo(before, after, local) if max(before, after) <= out_length else None


def with_halo(x: jax.Array, before: int, after: int, axes: tuple[str, ...], shards: int) -> jax.Array:
    """A shard (..., length, channels) between the samples that its neighbours along mesh axes `axes` send."""
    # A device that nobody sends to receives zeros: the padding at both ends of the whole.
    size = x.shape[-2]
    parts = [x]
    if before:
        last = jax.lax.slice_in_dim(x, size - before, size, axis=-2)
        parts.insert(0, jax.lax.ppermute(last, axes, [(n, n + 1) for n in range(shards - 1)]))
    if after:
        first = jax.lax.slice_in_dim(x, 0, after, axis=-2)
        parts.append(jax.lax.ppermute(first, axes, [(n + 1, n) for n in range(shards - 1)]))
    return jnp.concatenate(parts, axis=-2) if len(parts) > 1 else x
