"""Short convolutions of few multiplications: tiles of some outputs, and a matrix product for each point of a tile.

A tile of 6 outputs and 5 taps takes 13 products in place of 30, one of 4 and 3 takes 7 in place of 12
(`short_correlation.py`); over many channels each of them is a matrix product, and what comes before and after is a few
additions a number. (Winograd 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.) A kernel
of more taps is several of `PIECE`, which share the tiles of `x`. With dilation every `dilation`-th sample is of one
tile; a stride lays as many samples side by side, as channels, and as many taps.

In float32 the error is up to 1.5 times that of a plain sum. An infinite or NaN sample spoils its whole tile, up to 5
outputs to either side that do not read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..cores import cores
from ..geometry import Geometry
from . import polyphase
from .operands import (
    as_forward,
    by_group,
    fold,
    fold_kernel,
    folded,
    pad,
    swap_channels,
    total,
    unfold,
    wide,
    wide_einsum,
)
from .short_correlation import Matrix, matrices

# Outputs of a tile, by the taps.
OUTPUTS = {1: 1, 2: 3, 3: 4, 4: 5, 5: 6, 6: 5}
# The most numbers of the points of both operands at once: a batch of more is blocks of examples, which stay in the
# cache. Forward (10, 1460, 128) to 256 channels with 5 taps, 12 million numbers: by one core 60 ms at once and 37 in 5
# blocks, by two 28 and 17. The kernel gradient of (20, 427, 128), 7.2 million: by one core 19.4 ms at once and 17.3 in
# 4 blocks, by two 13.5 and 10.4. (AMD EPYC with 32 MiB of cache, JAX 0.10.2, 2026-11-29)
BLOCK = 2_500_000
# The same of samples and result, by several cores: one alone writes a block of the result. Forward the second: by one
# core 18.3 and 17.4 in 4 blocks, by two 10.5 and 15.2.
AT_ONCE = 7_500_000
# Taps of a piece of a longer kernel, and the outputs of its tiles: as many, so that the pieces share the tiles of `x`.
PIECE = 4


class Tiles(NamedTuple):
    """How a convolution of stride 1 is cut: `number` tiles of `outputs` samples for each of `dilation` phases."""

    outputs: int
    taps: int
    pieces: int
    number: int

    @property
    def length(self) -> int:
        """Samples that a tile reads."""
        return self.outputs + self.taps - 1

    @property
    def points(self) -> int:
        """Products of a tile."""
        return len(matrices(self.outputs, self.taps).result)

    @property
    def read(self) -> int:
        """Tiles of samples that are transformed: a later piece reads later ones."""
        return self.number + self.pieces - 1


def tiles(g: Geometry) -> Tiles:
    """The tiles of a geometry of stride 1."""
    taps = g.kernel_size if g.kernel_size in OUTPUTS else PIECE
    outputs = OUTPUTS.get(g.kernel_size, PIECE)
    return Tiles(outputs, taps, -(-g.kernel_size // taps), -(-g.out_length // (outputs * g.dilation)))


def blocks(t: Tiles, g: Geometry, batch: int, channels: int, most: int) -> int:
    """How many blocks a batch is cut into: the fewest with at most `BLOCK` numbers, or one example, each.

    `channels` are those of all points, `most` what is left in one block.
    """
    numbers = t.points * batch * t.number * g.dilation * channels
    if numbers <= most:
        return 1
    fitting = (count for count in range(1, batch + 1) if batch % count == 0 and numbers <= BLOCK * count)
    return next(fitting, batch)


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Transform samples and kernel, multiply, transform back."""
    g = geometry
    if g.stride > 1:
        if not _folds(g):
            return polyphase.forward(x, kernel, g, precision)
        return forward(fold(x, g), fold_kernel(kernel, g), folded(g), precision)
    t = tiles(g)
    taps = _points_of_kernel(kernel, t)
    if g.groups > 1:
        taps = by_group(_by_piece(taps, t, 1), g.groups)

    def block(x: jax.Array) -> jax.Array:
        points = _points_of_samples(x, g, t)
        if g.groups == 1:
            return _result(wide_einsum("pri,pio->pro", points, taps, precision), x, g, t)
        points = by_group(_by_piece(points, t), g.groups)
        return _result(wide_einsum("prlgi,pligo->prgo", points, taps, precision), x, g, t)

    return _in_blocks(block, x, g, t, kernel.shape[2])


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The same over `y_bar`, the kernel reversed in time."""
    g = geometry
    if g.stride > 1:
        if not _folds(g):
            return polyphase.input_gradient(y_bar, kernel, g, precision)
        return unfold(input_gradient(y_bar, fold_kernel(kernel, g), folded(g), precision), g)
    operand, g = as_forward(y_bar, g)
    t = tiles(g)
    if g.groups > 1 or t.pieces > 1:
        return forward(operand, swap_channels(kernel, g), g, precision)
    # The product reads the kernel as it lies: turning it first takes longer than all of its sums.
    taps = _points_of_kernel(jnp.flip(kernel, 0), t)

    def block(y_bar: jax.Array) -> jax.Array:
        points = _points_of_samples(y_bar, g, t)
        return _result(wide_einsum("pro,pio->pri", points, taps, precision), y_bar, g, t)

    return _in_blocks(block, operand, g, t, kernel.shape[1])


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The adjoint in the kernel: `y_bar` takes the place of the result, and a product sums over batch and tiles."""
    g = geometry
    if g.stride > 1:
        if not _folds(g):
            return polyphase.kernel_gradient(x, y_bar, g, precision)
        rows = kernel_gradient(fold(x, g), y_bar, folded(g), precision)
        return rows.reshape(-1, x.shape[2], y_bar.shape[2])[: g.kernel_size]
    t = tiles(g)

    def block(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        points, cotangents = _points_of_samples(x, g, t), _points_of_cotangents(y_bar, g, t)
        if g.groups == 1:
            return wide_einsum("pri,pro->pio", points, cotangents, precision)
        points, cotangents = by_group(_by_piece(points, t), g.groups), by_group(cotangents, g.groups)
        return wide_einsum("prlgi,prgo->pligo", points, cotangents, precision)

    count = blocks(t, g, x.shape[0], t.pieces * x.shape[2] + y_bar.shape[2], BLOCK)
    products = _sum_of_blocks(block, x, y_bar, count)
    _, taps, _ = matrices(t.outputs, t.taps)
    products = products.reshape(t.points, t.pieces, 1, x.shape[-1] // g.groups, y_bar.shape[-1])
    kernel_bar = total([_row(taps[p])[:, None, None] * products[p] for p in range(t.points)])
    return kernel_bar.reshape(t.pieces * t.taps, *kernel_bar.shape[2:])[: g.kernel_size].astype(x.dtype)


def _in_blocks(
    block: Callable[[jax.Array], jax.Array], x: jax.Array, g: Geometry, t: Tiles, out_channels: int
) -> jax.Array:
    """The result of each block of examples, one block after the other."""
    count = blocks(t, g, x.shape[0], t.pieces * x.shape[2] + out_channels, BLOCK if cores() == 1 else AT_ONCE)
    if count == 1:
        return block(x)
    y = jax.lax.map(block, _cut(x, count))
    return y.reshape(x.shape[0], *y.shape[2:])


def _sum_of_blocks(
    block: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array, y_bar: jax.Array, count: int
) -> jax.Array:
    """The sum of what each block of examples gives."""
    if count == 1:
        return block(x, y_bar)
    parts = _cut(x, count), _cut(y_bar, count)
    zeros = jnp.zeros_like(block(parts[0][0], parts[1][0]))  # of the same kind inside a shard_map too
    return jax.lax.scan(lambda sums, operands: (sums + block(*operands), None), zeros, parts)[0]


def _cut(x: jax.Array, count: int) -> jax.Array:
    """The batch as so many blocks."""
    return x.reshape(count, x.shape[0] // count, *x.shape[1:])


def _folds(g: Geometry) -> bool:
    """Whether a stride can be folded into the channels: with dilation or groups the phases are computed apart."""
    return g.dilation == g.groups == 1


def _points_of_samples(x: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(points, rows, pieces * in channels): for each tile of outputs, the tiles of samples that the pieces meet."""
    samples, _, _ = matrices(t.outputs, t.taps)
    ends = -(-(t.length - t.outputs) // t.outputs)  # tiles that the last one reaches into
    length = (t.read + ends) * t.outputs * g.dilation
    batch, channels = x.shape[0], x.shape[2]
    x = wide(pad(x, g.low, length - g.low - g.length))
    x = x.reshape(batch, t.read + ends, t.outputs, g.dilation, channels)
    terms = []
    for i in range(t.length):
        tile, sample = divmod(i, t.outputs)
        terms.append(_column(samples, i, 5) * x[None, :, tile : tile + t.read, sample])
    read = total(terms)
    pieces = [read[:, :, piece : piece + t.number] for piece in range(t.pieces)]
    return jnp.concatenate(pieces, axis=4).reshape(t.points, batch * t.number * g.dilation, t.pieces * channels)


def _points_of_kernel(kernel: jax.Array, t: Tiles) -> jax.Array:
    """(points, pieces * in channels a group, out channels)."""
    _, taps, _ = matrices(t.outputs, t.taps)
    kernel = jnp.pad(wide(kernel), [(0, t.pieces * t.taps - kernel.shape[0]), (0, 0), (0, 0)])
    _, rows, columns = kernel.shape
    kernel = kernel.reshape(1, t.pieces, t.taps, rows, columns)
    points = total([_column(taps, k, 4) * kernel[:, :, k] for k in range(t.taps)])
    return points.reshape(t.points, t.pieces * rows, columns)


def _points_of_cotangents(y_bar: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(points, rows, out channels)."""
    _, _, result = matrices(t.outputs, t.taps)
    batch, channels = y_bar.shape[0], y_bar.shape[2]
    y_bar = wide(pad(y_bar, 0, t.number * t.outputs * g.dilation - g.out_length))
    y_bar = y_bar.reshape(1, batch, t.number, t.outputs, g.dilation, channels)
    points = total([_column(result, j, 5) * y_bar[:, :, :, j] for j in range(t.outputs)])
    return points.reshape(t.points, batch * t.number * g.dilation, channels)


def _result(products: jax.Array, x: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(batch, out_length, channels) of the products of all points, in the type of `x`."""
    _, _, result = matrices(t.outputs, t.taps)
    batch = x.shape[0]
    channels = math.prod(products.shape[2:])
    products = products.reshape(t.points, batch, t.number, 1, g.dilation, channels)
    y = total([_row(result[p])[:, None, None] * products[p] for p in range(t.points)])
    y = y.reshape(batch, t.number * t.outputs * g.dilation, channels)
    return y[:, : g.out_length].astype(x.dtype)


def _by_piece(points: jax.Array, t: Tiles, axis: int = 2) -> jax.Array:
    """The axis of pieces and channels as two."""
    shape = points.shape
    return points.reshape(*shape[:axis], t.pieces, shape[axis] // t.pieces, *shape[axis + 1 :])


def _column(matrix: Matrix, index: int, rank: int) -> jax.Array:
    """A column of a matrix along the first of `rank` axes."""
    return _row([row[index] for row in matrix]).reshape(-1, *[1] * (rank - 1))


def _row(values: Sequence[float]) -> jax.Array:
    """Some numbers as an array; of weak type, so that what they multiply keeps its own."""
    return jnp.stack([jnp.asarray(value) for value in values])
