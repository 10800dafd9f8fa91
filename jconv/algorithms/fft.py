"""Products of spectra, block by block: for kernels of hundreds of taps and more.

Overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7.3): blocks of `x` that overlap by the
reach less one are transformed, multiplied by the kernel's transform and transformed back, and of each block the samples
that did not wrap around are kept. A transform mixes all samples of a block: rounding is relative to the largest of
them, and an infinite or NaN sample spoils its block, where other algorithms keep it to the windows that read it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .blocks import in_blocks, sum_of_blocks
from .operands import as_forward, by_group, padded, swap_channels, wide

LOCAL = False

# A block is at least this many times the reach: longer ones waste less on the overlap, shorter ones stay in the cache.
# Depthwise (4, 8192, 64) with 1024 taps: 10.8 ms in blocks of 4096, 14.7 as one block; with 256 taps 8.2 ms in blocks
# of 1024 (two cores of an AMD EPYC, JAX 0.10.2).
BLOCK = 4
SHORTEST = 64
# The most numbers of spectra at once; more are computed by `EXAMPLES` of the batch at a time. Depthwise (8, 1024, 512)
# with 256 taps, 17 million: forward 56 ms at once and 50 in 4 parts, the kernel gradient 81 and 43; (4, 2048, 256) with
# 512 taps, 8.4 million: 23 and, in 2, 25, the kernel gradient 40 and 24 (two cores of an AMD EPYC, JAX 0.10.2,
# 2026-11-29).
MOST, MOST_OF_GRADIENT, EXAMPLES = 10_000_000, 8_000_000, 5_000_000


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Overlap-save at stride 1; a stride then drops the outputs between."""
    return _correlate(x, kernel, geometry, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The same over `y_bar`, the kernel reversed in time; a stride spreads `y_bar` with zeros first."""
    operand, forward_geometry = as_forward(y_bar, geometry)
    return _correlate(operand, swap_channels(kernel, geometry), forward_geometry, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Correlate each block of `x` with the part of `y_bar` it was kept for; one transform back for their sum."""
    g = geometry
    size, hop, hops = block_sizes(g)

    def products(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        spectra = jnp.fft.rfft(_frames(_channels_first(padded(x, g), g.groups), size, hop, hops))
        if g.stride > 1:
            y_bar = jax.lax.pad(y_bar, jnp.zeros((), y_bar.dtype), [(0, 0, 0), (0, 0, g.stride - 1), (0, 0, 0)])
        cotangents = jnp.conj(jnp.fft.rfft(_frames(_channels_first(y_bar, g.groups), hop, hop, hops), size))
        if x.shape[-1] == g.groups:
            return (spectra[:, :, 0, None] * cotangents).sum((0, 3))[:, None]
        return jnp.einsum("ngibf,ngobf->giof", spectra, cotangents, precision=_highest(precision))

    sums = sum_of_blocks(products, x, y_bar, _numbers(x, y_bar.shape[2], g), MOST_OF_GRADIENT, EXAMPLES)
    lags = jnp.fft.irfft(sums, size)[..., : g.reach : g.dilation]  # (groups, in a group, out a group, taps)
    return lags.transpose(3, 1, 0, 2).reshape(g.kernel_size, lags.shape[1], y_bar.shape[-1]).astype(x.dtype)


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The forward pass, which the input gradient is too, over other operands."""
    size, hop, hops = block_sizes(g)
    taps = jnp.conj(jnp.fft.rfft(_dilated(kernel, g), size))

    def result(x: jax.Array) -> jax.Array:
        spectra = jnp.fft.rfft(_frames(_channels_first(padded(x, g), g.groups), size, hop, hops))
        if kernel.shape[1] == 1:  # (batch, groups, out a group, blocks, frequencies)
            products = spectra[:, :, 0, None] * taps[:, 0, :, None]
        else:
            products = jnp.einsum("ngibf,giof->ngobf", spectra, taps, precision=_highest(precision))
        y = jnp.fft.irfft(products, size)[..., :hop]
        y = y.reshape(x.shape[0], kernel.shape[2], hops * hop)[..., : (g.out_length - 1) * g.stride + 1 : g.stride]
        return y.transpose(0, 2, 1).astype(x.dtype)

    return in_blocks(result, x, _numbers(x, kernel.shape[2], g), MOST, EXAMPLES)


def _numbers(x: jax.Array, out_channels: int, g: Geometry) -> int:
    """Those of the spectra of both operands, or of samples and result."""
    size, _, hops = block_sizes(g)
    return x.shape[0] * hops * size * (x.shape[2] + out_channels)


def block_sizes(g: Geometry) -> tuple[int, int, int]:
    """Samples in a block, new samples in each, and how many blocks make every output of stride 1."""
    outputs = (g.out_length - 1) * g.stride + 1
    whole = _power_of_two(outputs + g.reach - 1)
    size = min(_power_of_two(max(BLOCK * g.reach, SHORTEST)), whole)
    hop = size - g.reach + 1
    return size, hop, -(-outputs // hop)


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _channels_first(x: jax.Array, groups: int) -> jax.Array:
    """(batch, length, channels) to (batch, groups, channels in a group, length), wide enough to be summed."""
    return by_group(wide(x), groups).transpose(0, 2, 3, 1)


def _frames(x: jax.Array, size: int, hop: int, blocks: int) -> jax.Array:
    """(..., length) to (..., blocks, size): one block every `hop` samples, zeros after the last."""
    length = blocks * hop if size == hop else (blocks - 1) * hop + size
    x = x[..., :length]
    if blocks == 1 or size == hop:
        missing = length - x.shape[-1]
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]).reshape(*x.shape[:-1], blocks, size)
    # A block reaches into no more than the next hop, as it is at least twice the reach.
    missing = (blocks + 1) * hop - x.shape[-1]
    hops = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]).reshape(*x.shape[:-1], blocks + 1, hop)
    return jnp.concatenate([hops[..., :-1, :], hops[..., 1:, : size - hop]], axis=-1)


def _dilated(kernel: jax.Array, g: Geometry) -> jax.Array:
    """(kernel_size, in a group, out channels) to (groups, in a group, out a group, reach), zeros between taps."""
    taps = by_group(wide(kernel), g.groups).transpose(2, 1, 3, 0)
    return jax.lax.pad(taps, jnp.zeros((), taps.dtype), [(0, 0, 0)] * 3 + [(0, 0, g.dilation - 1)])


def _highest(precision: Any) -> Any:
    # A GPU's default precision for products of spectra would lose the digits that the transform keeps.
    return jax.lax.Precision.HIGHEST if precision is None else precision
