"""FFT convolution by the overlap-save method, for kernels of hundreds of taps and more.

Blocks of `x`, which overlap by `reach - 1` samples, are transformed, multiplied by the spectrum of the kernel and
transformed back. The outputs that did not wrap around are kept. (Oppenheim and Schafer, Discrete-Time Signal
Processing, section 8.7.3.)

The FFT mixes all samples of a block. So the rounding error is relative to the largest sample of the block, and a NaN or
infinite sample affects all outputs of its block.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .shared.blocks import map_blocks, sum_over_blocks
from .shared.operands import input_gradient_as_forward, pad_input, split_groups, transpose_kernel, upcast

LOCAL = False

# The block size is at least this multiple of the reach. Longer blocks waste less on the overlap; shorter ones stay in
# the cache.
MIN_BLOCK_TO_REACH = 4
MIN_BLOCK_SIZE = 64
# A batch whose spectra have more elements than this is split into blocks of examples, which makes the kernel gradient
# up to 1.9 times as fast.
MAX_UNSPLIT_FORWARD, MAX_UNSPLIT_KERNEL_GRADIENT = 10_000_000, 8_000_000
# The largest block of examples, in elements of spectra.
BLOCK_ELEMENTS = 5_000_000


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Overlap-save at stride 1, of which every `stride`-th output is kept."""
    return _correlate(x, kernel, geometry, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward convolution of the dilated `y_bar` with the transposed kernel."""
    operand, forward_geometry = input_gradient_as_forward(y_bar, geometry)
    return _correlate(operand, transpose_kernel(kernel, geometry), forward_geometry, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Sums the products of the spectra of `x` and `y_bar` over all blocks, and transforms the sum back."""
    g = geometry
    size, hop, hops = block_sizes(g)

    def products(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        spectra = jnp.fft.rfft(_frames(_channels_first(pad_input(x, g), g.groups), size, hop, hops))
        if g.stride > 1:
            y_bar = jax.lax.pad(y_bar, jnp.zeros((), y_bar.dtype), [(0, 0, 0), (0, 0, g.stride - 1), (0, 0, 0)])
        cotangents = jnp.conj(jnp.fft.rfft(_frames(_channels_first(y_bar, g.groups), hop, hop, hops), size))
        if x.shape[-1] == g.groups:
            return (spectra[:, :, 0, None] * cotangents).sum((0, 3))[:, None]
        return jnp.einsum("ngibf,ngobf->giof", spectra, cotangents, precision=_product_precision(precision))

    sums = sum_over_blocks(
        products, x, y_bar, _spectra_elements(x, y_bar.shape[2], g), MAX_UNSPLIT_KERNEL_GRADIENT, BLOCK_ELEMENTS
    )
    lags = jnp.fft.irfft(sums, size)[..., : g.reach : g.dilation]  # (groups, in per group, out per group, taps)
    return lags.transpose(3, 1, 0, 2).reshape(g.kernel_size, lags.shape[1], y_bar.shape[-1]).astype(x.dtype)


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The cross-correlation that both the forward pass and the input gradient compute."""
    size, hop, hops = block_sizes(g)
    taps = jnp.conj(jnp.fft.rfft(_dilated(kernel, g), size))

    def result(x: jax.Array) -> jax.Array:
        spectra = jnp.fft.rfft(_frames(_channels_first(pad_input(x, g), g.groups), size, hop, hops))
        if kernel.shape[1] == 1:  # (batch, groups, out channels per group, blocks, frequencies)
            products = spectra[:, :, 0, None] * taps[:, 0, :, None]
        else:
            products = jnp.einsum("ngibf,giof->ngobf", spectra, taps, precision=_product_precision(precision))
        y = jnp.fft.irfft(products, size)[..., :hop]
        y = y.reshape(x.shape[0], kernel.shape[2], hops * hop)[..., : (g.out_length - 1) * g.stride + 1 : g.stride]
        return y.transpose(0, 2, 1).astype(x.dtype)

    return map_blocks(result, x, _spectra_elements(x, kernel.shape[2], g), MAX_UNSPLIT_FORWARD, BLOCK_ELEMENTS)


def _spectra_elements(x: jax.Array, out_channels: int, g: Geometry) -> int:
    """Returns the number of elements in the spectra of `x` and of the other operand or the result."""
    size, _, hops = block_sizes(g)
    return x.shape[0] * hops * size * (x.shape[2] + out_channels)


def block_sizes(g: Geometry) -> tuple[int, int, int]:
    """Returns the block size, the hop size (outputs per block) and the number of blocks, at stride 1."""
    outputs = (g.out_length - 1) * g.stride + 1
    single_block = _power_of_two(outputs + g.reach - 1)
    size = min(_power_of_two(max(MIN_BLOCK_TO_REACH * g.reach, MIN_BLOCK_SIZE)), single_block)
    hop = size - g.reach + 1
    return size, hop, -(-outputs // hop)


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _channels_first(x: jax.Array, groups: int) -> jax.Array:
    """Upcasts and transposes (batch, length, channels) to (batch, groups, channels per group, length)."""
    return split_groups(upcast(x), groups).transpose(0, 2, 3, 1)


def _frames(x: jax.Array, size: int, hop: int, blocks: int) -> jax.Array:
    """Splits (..., length) into overlapping blocks (..., blocks, size), one every `hop` samples, zeros at the end."""
    length = blocks * hop if size == hop else (blocks - 1) * hop + size
    x = x[..., :length]
    if blocks == 1 or size == hop:
        missing = length - x.shape[-1]
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]).reshape(*x.shape[:-1], blocks, size)
    # A block ends in the next hop at the latest, because the block size is at least twice the reach.
    missing = (blocks + 1) * hop - x.shape[-1]
    hops = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]).reshape(*x.shape[:-1], blocks + 1, hop)
    return jnp.concatenate([hops[..., :-1, :], hops[..., 1:, : size - hop]], axis=-1)


def _dilated(kernel: jax.Array, g: Geometry) -> jax.Array:
    """Returns the kernel as (groups, in per group, out per group, reach), with zeros between dilated taps."""
    taps = split_groups(upcast(kernel), g.groups).transpose(2, 1, 3, 0)
    return jax.lax.pad(taps, jnp.zeros((), taps.dtype), [(0, 0, 0)] * 3 + [(0, 0, g.dilation - 1)])


def _product_precision(precision: Any) -> Any:
    # The default precision of matrix products on GPUs is lower than the FFT's.
    return jax.lax.Precision.HIGHEST if precision is None else precision
