"""Tiles of a few outputs: the points of samples, kernel and cotangents, and what the products of all points sum to.

A tile of 6 outputs and 5 taps takes 13 products in place of 30, one of 4 and 3 takes 7 in place of 12
(`short_correlation.py`). A kernel of more taps is several pieces, which share the tiles of samples. With dilation every
`dilation`-th sample is of one tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import Geometry
from .operands import pad, total, wide
from .short_correlation import Matrix, matrices

# Outputs of a tile, by the taps.
OUTPUTS = {1: 1, 2: 3, 3: 4, 4: 5, 5: 6, 6: 5}
# Taps of a piece of a longer kernel, and the outputs of its tiles: as many, so that the pieces share the tiles of `x`.
PIECE = 4
# The same of groups. Depthwise (4, 8192, 64) with 256 taps, forward: 11.1, 9.0, 9.2, 9.0 and 10.6 ms with 4 to 8 (two
# cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
PIECE_OF_GROUPS = 6


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


def of(g: Geometry) -> Tiles:
    """The tiles of a geometry of stride 1."""
    piece = PIECE if g.groups == 1 else PIECE_OF_GROUPS
    taps = g.kernel_size if g.kernel_size in OUTPUTS else piece
    outputs = OUTPUTS.get(g.kernel_size, piece)
    return Tiles(outputs, taps, -(-g.kernel_size // taps), -(-g.out_length // (outputs * g.dilation)))


def numbers(t: Tiles, g: Geometry, batch: int, channels: int) -> int:
    """How many numbers the points of a batch are, of so many channels."""
    return t.points * batch * t.number * g.dilation * channels


def points_of_samples(x: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(points, batch, tiles that are read * dilation, in channels)."""
    samples, _, _ = matrices(t.outputs, t.taps)
    ends = -(-(t.length - t.outputs) // t.outputs)  # tiles that the last one reaches into
    length = (t.read + ends) * t.outputs * g.dilation
    batch, channels = x.shape[0], x.shape[2]
    x = wide(pad(x, g.low, length - g.low - g.length))
    x = x.reshape(batch, t.read + ends, t.outputs, g.dilation, channels)
    terms = []
    for i in range(t.length):
        tile, sample = divmod(i, t.outputs)
        terms.append(_column(samples, i, 5, x.dtype) * x[None, :, tile : tile + t.read, sample])
    return total(terms).reshape(t.points, batch, t.read * g.dilation, channels)


def points_of_kernel(kernel: jax.Array, t: Tiles) -> jax.Array:
    """(points, pieces, in channels a group, out channels)."""
    _, taps, _ = matrices(t.outputs, t.taps)
    kernel = jnp.pad(wide(kernel), [(0, t.pieces * t.taps - kernel.shape[0]), (0, 0), (0, 0)])
    kernel = kernel.reshape(1, t.pieces, t.taps, *kernel.shape[1:])
    return total([_column(taps, k, 4, kernel.dtype) * kernel[:, :, k] for k in range(t.taps)])


def points_of_cotangents(y_bar: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(points, batch, tiles * dilation, out channels)."""
    _, _, result = matrices(t.outputs, t.taps)
    batch, channels = y_bar.shape[0], y_bar.shape[2]
    y_bar = wide(pad(y_bar, 0, t.number * t.outputs * g.dilation - g.out_length))
    y_bar = y_bar.reshape(1, batch, t.number, t.outputs, g.dilation, channels)
    points = total([_column(result, j, 5, y_bar.dtype) * y_bar[:, :, :, j] for j in range(t.outputs)])
    return points.reshape(t.points, batch, t.number * g.dilation, channels)


def result_of(products: jax.Array, x: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(batch, out_length, channels) of the products of all points, in the type of `x`."""
    _, _, result = matrices(t.outputs, t.taps)
    batch, channels = x.shape[0], products.shape[-1]
    products = products.reshape(t.points, batch, t.number, 1, g.dilation, channels)
    y = total([_row(result[p], 3, products.dtype) * products[p] for p in range(t.points)])
    y = y.reshape(batch, t.number * t.outputs * g.dilation, channels)
    return y[:, : g.out_length].astype(x.dtype)


def kernel_of_points(products: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """(kernel_size, in channels a group, out channels): the adjoint of `points_of_kernel`."""
    _, taps, _ = matrices(t.outputs, t.taps)
    kernel_bar = total([_row(taps[p], 3, products.dtype) * products[p][:, None] for p in range(t.points)])
    return kernel_bar.reshape(t.pieces * t.taps, *kernel_bar.shape[2:])[: g.kernel_size]


def _column(matrix: Matrix, index: int, rank: int, dtype: Any) -> jax.Array:
    """A column of a matrix along the first of `rank` axes."""
    return _row([row[index] for row in matrix], rank, dtype)


def _row(values: Sequence[float], rank: int, dtype: Any) -> jax.Array:
    """Some numbers along the first of `rank` axes."""
    # One constant, where an array for each number would be traced and folded first.
    return jnp.asarray(np.array(values, dtype).reshape(-1, *[1] * (rank - 1)))
