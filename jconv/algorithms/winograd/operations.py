"""Winograd convolution: tiles of outputs (`tiles.py`), and one matrix product per point of the transformed tiles.

It needs fewer multiply-adds than the definition. With many channels these are matrix products, and the transforms
before and after them take a few additions per element. (Winograd 1980; Lavin and Gray, Fast Algorithms for
Convolutional Neural Networks, 2016.) A stride is moved into the channels with `space_to_depth`. With groups, each point
is a grouped convolution over the tiles (`groups.py`).

In float32 the error is up to 1.5 times the error of a plain sum. A NaN or infinite sample affects complete tiles: up to
5 outputs on each side that do not read it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ...geometry import Geometry
from .. import polyphase
from ..shared.blocks import map_blocks, sum_over_blocks
from ..shared.operands import (
    accumulating_einsum,
    depth_to_space,
    input_gradient_as_forward,
    space_to_depth,
    space_to_depth_geometry,
    space_to_depth_kernel,
    transpose_kernel,
)
from . import groups, tiles
from .tiles import Tiles

LOCAL = False


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Transforms samples and kernel, multiplies each point, and transforms back."""
    g = geometry
    if g.stride > 1:
        if not _moves_stride_to_channels(g):
            return polyphase.forward(x, kernel, g, precision)
        return forward(space_to_depth(x, g), space_to_depth_kernel(kernel, g), space_to_depth_geometry(g), precision)
    if g.groups > 1:
        return groups.forward(x, kernel, g)
    t = tiles.make_tiles(g)
    kernel_points = _merge_middle_axes(tiles.transform_kernel(kernel, t))

    def block(x: jax.Array) -> jax.Array:
        points = _gather_pieces(tiles.transform_samples(x, g, t), g, t)
        return tiles.inverse_transform(accumulating_einsum("pri,pio->pro", points, kernel_points, precision), x, g, t)

    return map_blocks(block, x, tiles.count_elements(t, g, x.shape[0], t.pieces * x.shape[2] + kernel.shape[2]))


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward pass of the dilated `y_bar` with the transposed kernel."""
    g = geometry
    if g.stride > 1:
        if not _moves_stride_to_channels(g):
            return polyphase.input_gradient(y_bar, kernel, g, precision)
        return depth_to_space(
            input_gradient(y_bar, space_to_depth_kernel(kernel, g), space_to_depth_geometry(g), precision), g
        )
    operand, g = input_gradient_as_forward(y_bar, g)
    t = tiles.make_tiles(g)
    if g.groups > 1 or t.pieces > 1:
        return forward(operand, transpose_kernel(kernel, g), g, precision)
    # The einsum contracts the out channels of the original kernel: transposing it takes longer than its transform.
    kernel_points = _merge_middle_axes(tiles.transform_kernel(jnp.flip(kernel, 0), t))

    def block(y_bar: jax.Array) -> jax.Array:
        points = _gather_pieces(tiles.transform_samples(y_bar, g, t), g, t)
        return tiles.inverse_transform(
            accumulating_einsum("pro,pio->pri", points, kernel_points, precision), y_bar, g, t
        )

    return map_blocks(block, operand, tiles.count_elements(t, g, operand.shape[0], kernel.shape[1] + kernel.shape[2]))


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The adjoint with respect to the kernel: each point's matrix product sums over batch and tiles."""
    g = geometry
    if g.stride > 1:
        if not _moves_stride_to_channels(g):
            return polyphase.kernel_gradient(x, y_bar, g, precision)
        rows = kernel_gradient(space_to_depth(x, g), y_bar, space_to_depth_geometry(g), precision)
        return rows.reshape(-1, x.shape[2], y_bar.shape[2])[: g.kernel_size]
    if g.groups > 1:
        return groups.kernel_gradient(x, y_bar, g)
    t = tiles.make_tiles(g)

    def block(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        points, cotangents = tiles.transform_samples(x, g, t), tiles.transform_cotangents(y_bar, g, t)
        return accumulating_einsum(
            "pri,pro->pio", _gather_pieces(points, g, t), _merge_middle_axes(cotangents), precision
        )

    products = sum_over_blocks(
        block, x, y_bar, tiles.count_elements(t, g, x.shape[0], t.pieces * x.shape[2] + y_bar.shape[2])
    )
    products = products.reshape(t.points, t.pieces, x.shape[2], y_bar.shape[2])
    return tiles.inverse_transform_kernel(products, g, t).astype(x.dtype)


def _moves_stride_to_channels(g: Geometry) -> bool:
    """Returns whether the stride is moved into the channels. With dilation or groups, `polyphase` handles it."""
    return g.dilation == g.groups == 1


def _gather_pieces(points: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """Returns, for each tile of outputs, the tiles of samples that the pieces of the kernel read.

    The shape is (points, rows, pieces * in channels).
    """
    starts = range(0, t.pieces * g.dilation, g.dilation)
    pieces = [points[:, :, start : start + t.tiles_per_phase * g.dilation] for start in starts]
    return _merge_middle_axes(jnp.concatenate(pieces, axis=3))


def _merge_middle_axes(points: jax.Array) -> jax.Array:
    """Reshapes (a, b, c, d) to (a, b * c, d)."""
    return points.reshape(points.shape[0], points.shape[1] * points.shape[2], points.shape[3])
