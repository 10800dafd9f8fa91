"""Blocks of outputs as matrix products, a group at a time: for long kernels of few channels.

A block of outputs is a Toeplitz matrix of the taps times the samples that the block reads. Cut into blocks too, those
samples are the channels of a dense convolution along the blocks, of which XLA's CPU compiler makes matrix products.
(Golub and Van Loan, Matrix Computations, 4th edition, section 4.8.) A product of a sum of shifts costs a processor two
to three times as much as one of a matrix product, and the corners of the matrix, which are zero, are few where the
kernel is much longer than a block.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import Geometry
from . import finite, lax, shifts
from .operands import as_forward, by_group, pad, swap_channels

LOCAL = True
# Columns of a matrix product: outputs of a block times out channels of a group. Depthwise (4, 8192, 64) with 1024 taps,
# the convolutions alone: 27, 30 and 31 ms with 32, 64 and 128 (two cores of an AMD EPYC, JAX 0.10.2, 2026-11-30).
COLUMNS = 32


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """A dense convolution along blocks for each group; with dilation, a sum of shifts."""
    g = geometry
    if g.dilation > 1:
        return shifts.forward(x, kernel, g, precision)
    return finite.local(
        lambda x, kernel: _in_blocks(x, kernel, g, precision),
        lambda x, kernel: shifts.forward(x, kernel, g, precision),
        x,
        kernel,
        g,
    )


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The same over `y_bar`, the kernel reversed in time; a stride spreads `y_bar` with zeros first."""
    operand, forward_geometry = as_forward(y_bar, geometry)
    return forward(operand, swap_channels(kernel, geometry), forward_geometry, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """By `shifts`: matrix products of a block's samples with its cotangents took longer for every kernel tried."""
    return shifts.kernel_gradient(x, y_bar, geometry, precision)


def _in_blocks(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    batch, (kernel_size, in_per_group, out_channels) = x.shape[0], kernel.shape
    out_per_group = out_channels // g.groups
    outputs = min(max(COLUMNS // out_per_group, 1), g.out_length)
    samples = outputs * g.stride  # of a block
    blocks = -(-g.out_length // outputs)
    taps = -(-((outputs - 1) * g.stride + kernel_size) // samples)  # blocks of samples that a block of outputs reads
    read = blocks + taps - 1
    along = Geometry(read, taps)

    # Groups first, and in memory so, before samples become channels: together XLA takes ten times as long for both.
    by_groups = jax.lax.optimization_barrier(by_group(x, g.groups).transpose(2, 0, 1, 3))
    high = read * samples - g.low - g.length
    zero = jnp.zeros((), x.dtype)
    folded = jax.lax.pad(by_groups, zero, [(0, 0, 0), (0, 0, 0), (g.low, high, 0), (0, 0, 0)])
    folded = folded.reshape(g.groups, batch, read, samples * in_per_group)
    weights = by_group(kernel, g.groups).transpose(2, 0, 1, 3)
    last = (outputs - 1) * g.stride
    weights = jnp.pad(weights, [(0, 0), (last, taps * samples - kernel_size), (0, 0), (0, 0)])
    tap = np.arange(taps * samples)[:, None] - np.arange(outputs) * g.stride + last

    def one(_: None, operands: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        x, weights = operands
        matrix = weights[tap].swapaxes(1, 2)  # (samples read, in channels, outputs, out channels)
        matrix = matrix.reshape(taps, samples * in_per_group, outputs * out_per_group)
        return None, lax.forward(x, matrix, along, precision)

    if g.groups == 1:
        y = one(None, (folded[0], weights[0]))[1][None]
    else:
        # Two convolutions that do not wait for each other run side by side on two cores.
        y = jax.lax.scan(one, None, (folded, weights), unroll=2)[1]
    y = y.reshape(g.groups, batch, blocks * outputs, out_per_group).transpose(1, 2, 0, 3)
    return pad(y.reshape(batch, blocks * outputs, out_channels), 0, g.out_length - blocks * outputs)
