"""Toeplitz matrices: blocks of outputs as matrix products, one group at a time, for long kernels with few channels.

A block of consecutive outputs is the product of a Toeplitz matrix, which contains the taps, and the samples that the
block reads. (Golub and Van Loan, Matrix Computations, 4th edition, section 4.8.) If the samples are split into blocks
too, this is a dense convolution over the blocks, with the samples of a block as channels. XLA's CPU compiler computes
it with matrix products, where a multiply-add is two to three times as fast as in `shifts`. The matrix has zeros in two
corners, but these are a small part of it if the kernel is much longer than a block.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import Geometry
from . import lax, shifts
from .shared import finite
from .shared.operands import input_gradient_as_forward, pad, split_groups, transpose_kernel

LOCAL = True
# Columns of the matrix product: outputs per block * out channels per group. More columns are slightly slower.
MAX_COLUMNS = 32


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One dense convolution over blocks per group; with dilation, `shifts`."""
    return _correlate(x, kernel, geometry, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward pass of the dilated `y_bar` with the transposed kernel."""
    operand, forward_geometry = input_gradient_as_forward(y_bar, geometry)
    return _correlate(operand, transpose_kernel(kernel, geometry), forward_geometry, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Uses `shifts`. Matrix products of the samples and cotangents of a block were slower for every kernel tried."""
    return shifts.kernel_gradient(x, y_bar, geometry, precision)


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The cross-correlation that both the forward pass and the input gradient compute."""
    if g.dilation > 1:
        return shifts.forward(x, kernel, g, precision)
    return finite.make_local(
        lambda x, kernel: _forward_over_blocks(x, kernel, g, precision),
        lambda x, kernel: shifts.forward(x, kernel, g, precision),
        x,
        kernel,
        g,
    )


def _forward_over_blocks(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The forward pass without dilation. It multiplies samples outside an output's window by zeros of the matrix."""
    batch, (kernel_size, in_per_group, out_channels) = x.shape[0], kernel.shape
    out_per_group = out_channels // g.groups
    outputs = min(max(MAX_COLUMNS // out_per_group, 1), g.out_length)
    samples = outputs * g.stride  # per block
    blocks = -(-g.out_length // outputs)
    taps = -(-((outputs - 1) * g.stride + kernel_size) // samples)  # blocks of samples per block of outputs
    read = blocks + taps - 1
    over_blocks = Geometry(read, taps)

    # The barrier separates the transpose from the reshape below: XLA takes ten times as long for both together.
    by_groups = jax.lax.optimization_barrier(split_groups(x, g.groups).transpose(2, 0, 1, 3))
    high = read * samples - g.low - g.length
    zero = jnp.zeros((), x.dtype)
    sample_blocks = jax.lax.pad(by_groups, zero, [(0, 0, 0), (0, 0, 0), (g.low, high, 0), (0, 0, 0)])
    sample_blocks = sample_blocks.reshape(g.groups, batch, read, samples * in_per_group)
    weights = split_groups(kernel, g.groups).transpose(2, 0, 1, 3)
    last = (outputs - 1) * g.stride
    weights = jnp.pad(weights, [(0, 0), (last, taps * samples - kernel_size), (0, 0), (0, 0)])
    tap = np.arange(taps * samples)[:, None] - np.arange(outputs) * g.stride + last

    def step(_: None, operands: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        x, weights = operands
        matrix = weights[tap].swapaxes(1, 2)  # (samples, in channels, outputs, out channels)
        matrix = matrix.reshape(taps, samples * in_per_group, outputs * out_per_group)
        return None, lax.forward(x, matrix, over_blocks, precision)

    if g.groups == 1:
        y = step(None, (sample_blocks[0], weights[0]))[1][None]
    else:
        # Two independent convolutions per step run in parallel on two cores.
        y = jax.lax.scan(step, None, (sample_blocks, weights), unroll=2)[1]
    y = y.reshape(g.groups, batch, blocks * outputs, out_per_group).transpose(1, 2, 0, 3)
    return pad(y.reshape(batch, blocks * outputs, out_channels), 0, g.out_length - blocks * outputs)
