"""Winograd convolution with groups: each point is a grouped convolution over the tiles, with one tap per piece.

A depthwise kernel of 256 taps becomes 15 convolutions with 43 taps over a sixth of the samples. They take 0.42 of the
multiply-adds, and the transformed samples have 2.5 times as many elements as the samples. So this is for kernels that
are too long for `shifts`, which computes the convolutions, and too short for `fft`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ...geometry import Geometry
from .. import shifts
from ..shared.blocks import map_blocks, sum_over_blocks
from ..shared.no_fusion import isolate_stage
from . import tiles
from .tiles import Tiles

# The channels are split into parts with at least this many channels each: twice as fast. Otherwise the samples of a
# window would be so far apart that they fall into few sets of the first-level cache.
MIN_CHANNELS_FORWARD, MIN_CHANNELS_KERNEL_GRADIENT = 64, 16


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The forward pass at stride 1: one grouped convolution per point."""
    parts = count_parts(geometry, x.shape[2], MIN_CHANNELS_FORWARD)
    g = replace(geometry, groups=geometry.groups // parts)
    t = tiles.make_tiles(geometry)
    # Without `isolate_stage` XLA would compute the transforms again for each product that reads them.
    kernel_points = isolate_stage(lambda kernel: _vmap(tiles.transform_kernel, t=t)(_split(kernel, parts)))(kernel)

    def block(x: jax.Array) -> jax.Array:
        points = isolate_stage(lambda x: _vmap(tiles.transform_samples, g=g, t=t)(_split(x, parts)))(x)
        products = isolate_stage(_vmap(_vmap(shifts.forward, geometry=_point_geometry(g, t))))(points, kernel_points)
        return isolate_stage(lambda products: _merge(_vmap(tiles.inverse_transform, x=x, g=g, t=t)(products)))(products)

    return map_blocks(block, x, tiles.count_elements(t, g, x.shape[0], x.shape[2] + kernel.shape[2]))


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry) -> jax.Array:
    """The kernel gradient at stride 1: one grouped kernel gradient per point."""
    parts = count_parts(geometry, x.shape[2], MIN_CHANNELS_KERNEL_GRADIENT)
    g = replace(geometry, groups=geometry.groups // parts)
    t = tiles.make_tiles(geometry)

    def block(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        points = isolate_stage(lambda x: _vmap(tiles.transform_samples, g=g, t=t)(_split(x, parts)))(x)
        cotangents = isolate_stage(lambda y_bar: _vmap(tiles.transform_cotangents, g=g, t=t)(_split(y_bar, parts)))(
            y_bar
        )
        return isolate_stage(_vmap(_vmap(shifts.kernel_gradient, geometry=_point_geometry(g, t))))(points, cotangents)

    products = sum_over_blocks(block, x, y_bar, tiles.count_elements(t, g, x.shape[0], x.shape[2] + y_bar.shape[2]))
    return _merge(_vmap(tiles.inverse_transform_kernel, g=g, t=t)(products)).astype(x.dtype)


def count_parts(g: Geometry, in_channels: int, min_channels: int) -> int:
    """Returns the largest number of parts of the groups for which each part has at least `min_channels` channels."""
    return next((count for count in range(in_channels // min_channels, 1, -1) if g.groups % count == 0), 1)


def _point_geometry(g: Geometry, t: Tiles) -> Geometry:
    """Returns the geometry of the convolution of a point: over the tiles, with one tap per piece."""
    return Geometry(t.input_tiles * g.dilation, t.pieces, dilation=g.dilation, groups=g.groups)


def _vmap(function: Callable[..., jax.Array], **settings: Any) -> Callable[..., jax.Array]:
    """Maps a function over the parts, or over the points of a part."""
    return jax.vmap(partial(function, **settings))


def _split(x: jax.Array, parts: int) -> jax.Array:
    """Reshapes (a, b, channels) to (parts, a, b, channels // parts)."""
    return jnp.moveaxis(x.reshape(*x.shape[:2], parts, x.shape[2] // parts), 2, 0)


def _merge(x: jax.Array) -> jax.Array:
    """The inverse of `_split`."""
    x = jnp.moveaxis(x, 0, 2)
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
