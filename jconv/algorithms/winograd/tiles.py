"""The transforms of Winograd convolution: of samples, kernel and cotangents to points, and of their products back.

The outputs are split into tiles. With 5 taps, a tile of 6 outputs takes 13 multiplications instead of 30; with 3 taps,
a tile of 4 outputs takes 7 instead of 12 (`short_correlation.py`). The values that are multiplied are the points of the
tile. A longer kernel is split into pieces, which share the transformed samples. With dilation, a tile consists of every
`dilation`-th sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...geometry import Geometry
from ..shared.operands import add_all, pad, upcast
from .short_correlation import Matrix, matrices

# Outputs per tile for each kernel size.
OUTPUTS_BY_TAPS = {1: 1, 2: 3, 3: 4, 4: 5, 5: 6, 6: 5}
# Taps per piece of a longer kernel. A tile has the same number of outputs, so that the pieces share the tiles of `x`.
TAPS_PER_PIECE = 4
# The same with groups. Other values from 5 to 7 are about as fast.
TAPS_PER_PIECE_GROUPED = 6


class Tiles(NamedTuple):
    """The tiles of a convolution of stride 1.

    Attributes:
        outputs: Outputs per tile.
        taps: Taps per piece of the kernel.
        pieces: Pieces of the kernel.
        tiles_per_phase: Tiles for each of the `dilation` phases of the outputs.
    """

    outputs: int
    taps: int
    pieces: int
    tiles_per_phase: int

    @property
    def input_length(self) -> int:
        """Samples that a tile reads."""
        return self.outputs + self.taps - 1

    @property
    def points(self) -> int:
        """Multiplications per tile and channel pair."""
        return len(matrices(self.outputs, self.taps).result)

    @property
    def input_tiles(self) -> int:
        """Tiles of samples per phase: more than tiles of outputs, because later pieces read later samples."""
        return self.tiles_per_phase + self.pieces - 1


def make_tiles(g: Geometry) -> Tiles:
    """Returns the tiles of a geometry of stride 1."""
    piece = TAPS_PER_PIECE if g.groups == 1 else TAPS_PER_PIECE_GROUPED
    taps = g.kernel_size if g.kernel_size in OUTPUTS_BY_TAPS else piece
    outputs = OUTPUTS_BY_TAPS.get(g.kernel_size, piece)
    return Tiles(outputs, taps, -(-g.kernel_size // taps), -(-g.out_length // (outputs * g.dilation)))


def count_elements(t: Tiles, g: Geometry, batch: int, channels: int) -> int:
    """Returns the number of elements in the points of a batch with this number of channels."""
    return t.points * batch * t.tiles_per_phase * g.dilation * channels


def transform_samples(x: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """Returns the points of the samples: (points, batch, input_tiles * dilation, in_channels)."""
    samples, _, _ = matrices(t.outputs, t.taps)
    ends = -(-(t.input_length - t.outputs) // t.outputs)  # further tiles that the last one reads
    length = (t.input_tiles + ends) * t.outputs * g.dilation
    batch, channels = x.shape[0], x.shape[2]
    x = upcast(pad(x, g.low, length - g.low - g.length))
    x = x.reshape(batch, t.input_tiles + ends, t.outputs, g.dilation, channels)
    terms = []
    for i in range(t.input_length):
        tile, sample = divmod(i, t.outputs)
        terms.append(_column(samples, i, 5, x.dtype) * x[None, :, tile : tile + t.input_tiles, sample])
    return add_all(terms).reshape(t.points, batch, t.input_tiles * g.dilation, channels)


def transform_kernel(kernel: jax.Array, t: Tiles) -> jax.Array:
    """Returns the points of the kernel: (points, pieces, in_channels // groups, out_channels)."""
    _, taps, _ = matrices(t.outputs, t.taps)
    kernel = jnp.pad(upcast(kernel), [(0, t.pieces * t.taps - kernel.shape[0]), (0, 0), (0, 0)])
    kernel = kernel.reshape(1, t.pieces, t.taps, *kernel.shape[1:])
    return add_all([_column(taps, k, 4, kernel.dtype) * kernel[:, :, k] for k in range(t.taps)])


def transform_cotangents(y_bar: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """Returns the points of `y_bar`: (points, batch, tiles_per_phase * dilation, out_channels)."""
    _, _, result = matrices(t.outputs, t.taps)
    batch, channels = y_bar.shape[0], y_bar.shape[2]
    y_bar = upcast(pad(y_bar, 0, t.tiles_per_phase * t.outputs * g.dilation - g.out_length))
    y_bar = y_bar.reshape(1, batch, t.tiles_per_phase, t.outputs, g.dilation, channels)
    points = add_all([_column(result, j, 5, y_bar.dtype) * y_bar[:, :, :, j] for j in range(t.outputs)])
    return points.reshape(t.points, batch, t.tiles_per_phase * g.dilation, channels)


def inverse_transform(products: jax.Array, x: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """Returns the outputs from the products of all points: (batch, out_length, channels), with the dtype of `x`."""
    _, _, result = matrices(t.outputs, t.taps)
    batch, channels = x.shape[0], products.shape[-1]
    products = products.reshape(t.points, batch, t.tiles_per_phase, 1, g.dilation, channels)
    y = add_all([_row(result[p], 3, products.dtype) * products[p] for p in range(t.points)])
    y = y.reshape(batch, t.tiles_per_phase * t.outputs * g.dilation, channels)
    return y[:, : g.out_length].astype(x.dtype)


def inverse_transform_kernel(products: jax.Array, g: Geometry, t: Tiles) -> jax.Array:
    """The adjoint of `transform_kernel`: returns (kernel_size, in_channels // groups, out_channels)."""
    _, taps, _ = matrices(t.outputs, t.taps)
    kernel_bar = add_all([_row(taps[p], 3, products.dtype) * products[p][:, None] for p in range(t.points)])
    return kernel_bar.reshape(t.pieces * t.taps, *kernel_bar.shape[2:])[: g.kernel_size]


def _column(matrix: Matrix, index: int, rank: int, dtype: Any) -> jax.Array:
    """Returns a column of a matrix along the first of `rank` axes."""
    return _row([row[index] for row in matrix], rank, dtype)


def _row(values: Sequence[float], rank: int, dtype: Any) -> jax.Array:
    """Returns values along the first of `rank` axes."""
    # A single constant is faster to trace than an array for each value.
    return jnp.asarray(np.array(values, dtype).reshape(-1, *[1] * (rank - 1)))
