"""Convolutions of few multiplications: tiles of outputs (`tiles.py`), and a matrix product for each point of a tile.

Over many channels a product of a point is a matrix product, and what comes before and after is a few additions a
number. (Winograd 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.) A stride lays as many
samples side by side, as channels, and as many taps. Of groups each point is a convolution (`winograd_groups.py`).

In float32 the error is up to 1.5 times that of a plain sum. An infinite or NaN sample spoils its whole tile, up to 5
outputs to either side that do not read it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from . import polyphase, tiles, winograd_groups
from .blocks import in_blocks, sum_of_blocks
from .operands import (
    as_forward,
    fold,
    fold_kernel,
    folded,
    swap_channels,
    unfold,
    wide_einsum,
)
from .tiles import Tiles

LOCAL = False


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Transform samples and kernel, multiply, transform back."""
    g = geometry
    if g.stride > 1:
        if not _folds(g):
            return polyphase.forward(x, kernel, g, precision)
        return forward(fold(x, g), fold_kernel(kernel, g), folded(g), precision)
    if g.groups > 1:
        return winograd_groups.forward(x, kernel, g)
    t = tiles.of(g)
    taps = _joined(tiles.points_of_kernel(kernel, t))

    def block(x: jax.Array) -> jax.Array:
        points = _met_by_pieces(tiles.points_of_samples(x, g, t), g, t)
        return tiles.result_of(wide_einsum("pri,pio->pro", points, taps, precision), x, g, t)

    return in_blocks(block, x, tiles.numbers(t, g, x.shape[0], t.pieces * x.shape[2] + kernel.shape[2]))


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The same over `y_bar`, the kernel reversed in time."""
    g = geometry
    if g.stride > 1:
        if not _folds(g):
            return polyphase.input_gradient(y_bar, kernel, g, precision)
        return unfold(input_gradient(y_bar, fold_kernel(kernel, g), folded(g), precision), g)
    operand, g = as_forward(y_bar, g)
    t = tiles.of(g)
    if g.groups > 1 or t.pieces > 1:
        return forward(operand, swap_channels(kernel, g), g, precision)
    # The product reads the kernel as it lies: turning it first takes longer than all of its sums.
    taps = _joined(tiles.points_of_kernel(jnp.flip(kernel, 0), t))

    def block(y_bar: jax.Array) -> jax.Array:
        points = _met_by_pieces(tiles.points_of_samples(y_bar, g, t), g, t)
        return tiles.result_of(wide_einsum("pro,pio->pri", points, taps, precision), y_bar, g, t)

    return in_blocks(block, operand, tiles.numbers(t, g, operand.shape[0], kernel.shape[1] + kernel.shape[2]))


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The adjoint in the kernel: `y_bar` takes the place of the result, and a product sums over batch and tiles."""
    g = geometry
    if g.stride > 1:
        if not _folds(g):
            return polyphase.kernel_gradient(x, y_bar, g, precision)
        rows = kernel_gradient(fold(x, g), y_bar, folded(g), precision)
        return rows.reshape(-1, x.shape[2], y_bar.shape[2])[: g.kernel_size]
    if g.groups > 1:
        return winograd_groups.kernel_gradient(x, y_bar, g)
    t = tiles.of(g)

    def block(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        points, cotangents = tiles.points_of_samples(x, g, t), tiles.points_of_cotangents(y_bar, g, t)
        return wide_einsum("pri,pro->pio", _met_by_pieces(points, g, t), _joined(cotangents), precision)

    products = sum_of_blocks(block, x, y_bar, tiles.numbers(t, g, x.shape[0], t.pieces * x.shape[2] + y_bar.shape[2]))
    products = products.reshape(t.points, t.pieces, x.shape[2], y_bar.shape[2])
    return tiles.kernel_of_points(products, g, t).astype(x.dtype)


def _folds(g: Geometry) -> bool:
    """Whether a stride can be folded into the channels: with dilation or groups the phases are computed apart."""
    return g.dilation == g.groups == 1


def _met_by_pieces(points: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(points, rows, pieces * in channels): for each tile of outputs, the tiles of samples that the pieces meet."""
    starts = range(0, t.pieces * g.dilation, g.dilation)
    pieces = [points[:, :, start : start + t.number * g.dilation] for start in starts]
    return _joined(jnp.concatenate(pieces, axis=3))


def _joined(points: jax.Array) -> jax.Array:
    """The two axes in the middle as one."""
    return points.reshape(points.shape[0], points.shape[1] * points.shape[2], points.shape[3])
