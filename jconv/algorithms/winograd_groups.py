"""Tiles of convolutions with groups: each point is one too, along the tiles, of a tap a piece.

Depthwise with 256 taps this is 15 convolutions of 43 taps over a sixth of the samples: 0.42 of the products, and the
points, twice and a half as many numbers as there are samples. So it is for kernels that are longer than those of
`shifts`, which computes the points, and shorter than those of `fft`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..apart import part
from ..geometry import Geometry
from . import shifts, tiles
from .blocks import in_blocks, sum_of_blocks
from .tiles import Tiles

# Channels that lie side by side in the points. The more, the farther the samples of a window are from one another, and
# where that is a power of two, in the same few lines of the first cache: the sums of 43 taps of (15, 4, 352, 256) take
# 12.4 ms, with 272 channels 9.2, and as 64, 32 and 16 side by side 5.5, 5.1 and 5.2. All of it, depthwise (4, 8192, 64)
# with 256 taps, takes 10.0, 12.3 and 12.5 ms forward with 64, 32 and 16, the kernel gradient 13.5, 11.3 and 10.4 (two
# cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
LANES, LANES_OF_GRADIENT = 64, 16


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The sum of the points' forward passes; stride 1."""
    apart = parts(geometry, x.shape[2])
    g = replace(geometry, groups=geometry.groups // apart)
    t = tiles.of(geometry)
    # Each a call of its own, or XLA would compute the points anew for each product that reads them.
    taps = part(lambda kernel: _each(tiles.points_of_kernel, t=t)(_split(kernel, apart)))(kernel)

    def block(x: jax.Array) -> jax.Array:
        points = part(lambda x: _each(tiles.points_of_samples, g=g, t=t)(_split(x, apart)))(x)
        products = part(_each(_each(shifts.forward, geometry=_inner(g, t))))(points, taps)
        return part(lambda products: _merge(_each(tiles.result_of, x=x, g=g, t=t)(products)))(products)

    return in_blocks(block, x, tiles.numbers(t, g, x.shape[0], x.shape[2] + kernel.shape[2]))


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry) -> jax.Array:
    """The kernel of the points' kernel gradients; stride 1."""
    apart = parts(geometry, x.shape[2], kernel_gradient=True)
    g = replace(geometry, groups=geometry.groups // apart)
    t = tiles.of(geometry)

    def block(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        points = part(lambda x: _each(tiles.points_of_samples, g=g, t=t)(_split(x, apart)))(x)
        cotangents = part(lambda y_bar: _each(tiles.points_of_cotangents, g=g, t=t)(_split(y_bar, apart)))(y_bar)
        return part(_each(_each(shifts.kernel_gradient, geometry=_inner(g, t))))(points, cotangents)

    products = sum_of_blocks(block, x, y_bar, tiles.numbers(t, g, x.shape[0], x.shape[2] + y_bar.shape[2]))
    return _merge(_each(tiles.kernel_of_points, g=g, t=t)(products)).astype(x.dtype)


def parts(g: Geometry, in_channels: int, kernel_gradient: bool = False) -> int:
    """How many parts the groups are cut into, which lie one after the other: the most with as many `LANES` or more."""
    lanes = LANES_OF_GRADIENT if kernel_gradient else LANES
    return next((count for count in range(in_channels // lanes, 1, -1) if g.groups % count == 0), 1)


def _inner(g: Geometry, t: Tiles) -> Geometry:
    """Of the convolution of a point: along the tiles, of a tap a piece."""
    return Geometry(t.read * g.dilation, t.pieces, dilation=g.dilation, groups=g.groups)


def _each(function: Callable[..., jax.Array], **settings: Any) -> Callable[..., jax.Array]:
    """The function of each part, or of each point of one."""
    return jax.vmap(partial(function, **settings))


def _split(x: jax.Array, apart: int) -> jax.Array:
    """(., ., channels) to (parts, ., ., channels of one)."""
    return jnp.moveaxis(x.reshape(*x.shape[:2], apart, x.shape[2] // apart), 2, 0)


def _merge(x: jax.Array) -> jax.Array:
    """The inverse of `_split`."""
    x = jnp.moveaxis(x, 0, 2)
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
