"""Matrix products: a single one for all taps, or one per tap with shifted slices of `x`.

With few out channels (the last layer of a decoder, the input gradient of a first layer), a product per tap has too few
columns to be fast. The product for all taps has `kernel_size` times as many columns; the columns of each tap are then
shifted and added. Windows that do not overlap are the rows of one product. The input gradient of a strided convolution
does not multiply by inserted zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .shared.operands import accumulating_einsum, add_all, pad, pad_input, split_groups

LOCAL = True

# A contraction over batch and time transposes its first operand. In the kernel gradient this is `y_bar`, once for all
# taps; or each tap's slice of `x`, if `y_bar` has at least this many times as many channels. Transposing `y_bar` is up
# to 1.4 times as fast.
MAX_TRANSPOSED_RATIO = 4
# The kernel gradient uses windows of `y_bar` if there are at least this many in channels per out channel: up to 2.5
# times as fast as a product per tap.
MIN_IN_TO_OUT_RATIO = 4


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y = sum_k x[k * dilation :: stride] @ kernel[k]`, at stride 1 from a single product for all taps."""
    g = geometry
    if has_disjoint_windows(g):
        weights = kernel.reshape(-1, kernel.shape[-1])
        return accumulating_einsum("nta,ao->nto", _disjoint_windows(x, g), weights, precision).astype(x.dtype)
    if g.groups == 1 and g.stride == 1 and x.shape[2] > 1:
        return _forward_from_single_product(x, kernel, g, precision)

    def multiply(samples: jax.Array, w: jax.Array) -> jax.Array:
        if g.groups == 1:
            return accumulating_einsum("nti,io->nto", samples, w, precision)
        groups = split_groups(samples, g.groups), split_groups(w, g.groups)
        return accumulating_einsum("ntgi,igo->ntgo", *groups, precision)

    products = add_all([multiply(*operands) for operands in zip(_samples_per_tap(x, g), kernel, strict=True)])
    return products.reshape(x.shape[0], g.out_length, kernel.shape[-1]).astype(x.dtype)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`x_bar[k * dilation :: stride] += y_bar @ kernel[k].T` for every tap, from a single product for all taps.

    One product per tap would take up to 2.4 times as long.
    """
    g = geometry
    batch, windows, _ = y_bar.shape
    if g.groups == 1:  # (batch, windows, kernel_size * in channels)
        products = accumulating_einsum("nto,ao->nta", y_bar, kernel.reshape(-1, kernel.shape[-1]), precision)
    else:
        kernels = split_groups(kernel, g.groups)
        products = accumulating_einsum("ntgo,kigo->ntkgi", split_groups(y_bar, g.groups), kernels, precision)
    products = products.reshape(batch, windows, g.kernel_size * kernel.shape[1] * g.groups)
    if g.stride > 1 and g.dilation == 1:
        return _overlap_add(products, g).astype(y_bar.dtype)
    span = (windows - 1) * g.stride + 1

    def shift(columns: jax.Array, first: int) -> jax.Array:
        return pad(columns, first, g.length - first - span, g.stride - 1)

    return _sum_tap_columns(products, g, shift).astype(y_bar.dtype)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`kernel_bar[k] = x[k * dilation :: stride].T @ y_bar`, or with few out channels from windows of `y_bar`."""
    g = geometry
    in_per_group, out_channels = x.shape[-1] // g.groups, y_bar.shape[-1]
    if uses_y_bar_windows(g, in_per_group, out_channels):
        return _kernel_gradient_from_y_bar_windows(x, y_bar, g, precision).astype(x.dtype)
    if has_disjoint_windows(g):
        kernel_bar = accumulating_einsum("nta,nto->ao", _disjoint_windows(x, g), y_bar, precision)
    elif g.groups == 1 and out_channels < (MAX_TRANSPOSED_RATIO if g.kernel_size > 1 else 1) * in_per_group:
        kernel_bar = jnp.stack(
            [accumulating_einsum("nto,nti->oi", y_bar, samples, precision) for samples in _samples_per_tap(x, g)]
        )
        kernel_bar = kernel_bar.swapaxes(1, 2)
    elif g.groups == 1:
        kernel_bar = jnp.stack(
            [accumulating_einsum("nti,nto->io", samples, y_bar, precision) for samples in _samples_per_tap(x, g)]
        )
    else:
        y_bar = split_groups(y_bar, g.groups)
        kernel_bar = jnp.stack(
            [
                accumulating_einsum("ntgi,ntgo->igo", split_groups(samples, g.groups), y_bar, precision)
                for samples in _samples_per_tap(x, g)
            ]
        )
    return kernel_bar.reshape(g.kernel_size, in_per_group, out_channels).astype(x.dtype)


def uses_y_bar_windows(g: Geometry, in_channels: int, out_channels: int) -> bool:
    """Returns whether the kernel gradient is a single product of `x` with windows of `y_bar`."""
    return g.groups == g.stride == 1 and MIN_IN_TO_OUT_RATIO * out_channels <= in_channels and g.kernel_size > 1


def _kernel_gradient_from_y_bar_windows(x: jax.Array, y_bar: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """`kernel_bar[k] = sum_s x[s] * y_bar[s + low - k * dilation]`, as one product with the windows of `y_bar`."""
    last = g.reach - 1
    padded = pad(y_bar, last - g.low, g.length - g.out_length + g.low)
    starts = range(last, -1, -g.dilation)
    windows = jnp.concatenate([jax.lax.slice_in_dim(padded, s, s + g.length, axis=1) for s in starts], axis=2)
    kernel_bar = accumulating_einsum("nta,nti->ai", windows, x, precision)
    return kernel_bar.reshape(g.kernel_size, y_bar.shape[2], x.shape[2]).swapaxes(1, 2)


def _forward_from_single_product(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """Multiplies the samples by all taps in a single product, then shifts and adds the columns of each tap."""
    products = accumulating_einsum("nti,kio->ntko", x, kernel, precision)

    def shift(columns: jax.Array, first: int) -> jax.Array:
        return pad(columns, -first, first + g.out_length - g.length)

    return _sum_tap_columns(products.reshape(*x.shape[:2], g.kernel_size * kernel.shape[2]), g, shift).astype(x.dtype)


def _sum_tap_columns(products: jax.Array, g: Geometry, shift: Callable[[jax.Array, int], jax.Array]) -> jax.Array:
    """Splits a product into the columns of each tap, shifts them and adds them.

    `shift(columns, first)` receives the index of the sample that the tap reads in the first window. It is negative in
    the padding.
    """
    size = products.shape[2] // g.kernel_size
    columns = [jax.lax.slice_in_dim(products, k * size, (k + 1) * size, axis=2) for k in range(g.kernel_size)]
    return add_all([shift(of_tap, k * g.dilation - g.low) for k, of_tap in enumerate(columns)])


def _samples_per_tap(x: jax.Array, g: Geometry) -> list[jax.Array]:
    """Returns, for each tap, the samples that it multiplies: (batch, out_length, in_channels)."""
    x = pad_input(x, g)
    span = (g.out_length - 1) * g.stride + 1
    return [
        jax.lax.slice_in_dim(x, k * g.dilation, k * g.dilation + span, g.stride, axis=1) for k in range(g.kernel_size)
    ]


def has_disjoint_windows(g: Geometry) -> bool:
    """Returns whether the windows of a multi-tap kernel do not overlap, so that a reshape of `x` gives all of them."""
    return g.groups == 1 and g.dilation == 1 and g.kernel_size <= g.stride and g.kernel_size > 1


def _disjoint_windows(x: jax.Array, g: Geometry) -> jax.Array:
    """Returns windows that do not overlap: (batch, out_length, kernel_size * in_channels)."""
    batch, _, channels = x.shape
    x = pad(x, g.low, g.out_length * g.stride - g.length - g.low)
    x = x.reshape(batch, g.out_length, g.stride, channels)[:, :, : g.kernel_size]
    return x.reshape(batch, g.out_length, g.kernel_size * channels)


def _overlap_add(windows: jax.Array, g: Geometry) -> jax.Array:
    """Adds windows (batch, out_length, kernel_size * in_channels) where they overlap: (batch, length, in_channels).

    Windows are cut into blocks of `stride` samples, so there is one term per window of a sample, not one per tap.
    """
    batch, channels = windows.shape[0], windows.shape[-1] // g.kernel_size
    blocks = -(-g.kernel_size // g.stride)
    windows = windows.reshape(batch, g.out_length, g.kernel_size, channels)
    windows = jnp.pad(windows, [(0, 0), (0, 0), (0, blocks * g.stride - g.kernel_size), (0, 0)])
    windows = windows.reshape(batch, g.out_length, blocks, g.stride * channels)
    joined = add_all([pad(windows[:, :, block], block, blocks - 1 - block) for block in range(blocks)])
    joined = joined.reshape(batch, joined.shape[1] * g.stride, channels)
    return pad(joined, -g.low, g.length + g.low - joined.shape[1])
