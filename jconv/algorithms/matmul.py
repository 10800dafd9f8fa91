"""Matrix products: one for all taps, from which each tap's share is cut, or one a tap over shifted views of `x`.

Of many channels to few (the last layer of a decoder, the input gradient of a first one) a product a tap has few
columns, and all taps side by side have enough. Kernel size 1 is the plainest case, and windows that do not overlap are
the rows of one product. A strided convolution never multiplies by an inserted zero here: a tap's share of the input
gradient is put where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .operands import by_group, pad, padded, total, wide_einsum

LOCAL = True

# A product over the rows of both operands turns the first round: y_bar once, unless it has so many times the channels,
# or each tap of x. Ms of one core and of two (JAX 0.10.2, 2026-11-29): (16, 512, 64) to 128 channels with 5 taps and
# stride 2, 4.0 and 2.5 for 5.6 and 3.2; (4, 4096, 4) to 32 with 31 and stride 4, 0.92 and 0.89 for 0.81 and 0.77. Of
# one tap the smaller: (16, 512, 128) to 256 channels 5.8 and 4.6 ms, to 128 from 256 5.2 and 6.4 (two cores of an Intel
# Xeon, the same day).
MOST_TURNED = 4
# With so many times as many in channels as out, windows of y_bar: two cores take of (4, 2048, 128) to 8 channels with 3
# taps 0.44 and, a product a tap, 1.1, of (5, 150, 256) to 128 with 3 1.04 and 0.96 (the same).
FEW_OUT = 4


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y = sum_k x[k * dilation :: stride] @ kernel[k]`.

    Of stride 1 from one product: ms of (16, 512, 64) to 1 channel with 7 taps 0.15 where lax takes 0.35 and sums of
    shifts 0.61, of (8, 1000, 256) to 2 with 3 0.48 for 1.9 and 3.4, of (4, 2048, 128) to 8 with 3 0.43 for 0.98 and
    0.63 (two cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
    """
    g = geometry
    if side_by_side(g):
        windows = _windows(x, g)
        return wide_einsum("nta,ao->nto", windows, kernel.reshape(-1, kernel.shape[-1]), precision).astype(x.dtype)
    if g.groups == 1 and g.stride == 1 and x.shape[2] > 1:
        return _shifted_products(x, kernel, g, precision)
    if g.groups == 1:
        products = [wide_einsum("nti,io->nto", tap, w, precision) for tap, w in zip(_taps(x, g), kernel, strict=True)]
        return total(products).astype(x.dtype)
    products = [
        wide_einsum("ntgi,igo->ntgo", by_group(tap, g.groups), by_group(w, g.groups), precision)
        for tap, w in zip(_taps(x, g), kernel, strict=True)
    ]
    return total(products).reshape(x.shape[0], g.out_length, kernel.shape[-1]).astype(x.dtype)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`x_bar[k * dilation :: stride] += y_bar @ kernel[k].T` for every tap, from one product.

    A product a tap: ms of (16, 512, 1) from 128 channels with 8 taps 0.34 for 0.14, of (16, 512, 64) from 128 with 5
    and stride 2 2.1 for 1.8, of (1, 3199, 512) from 512 with 3 and stride 2 as long; 0.16 s to compile for 0.05 (two
    cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
    """
    g = geometry
    if side_by_side(g):
        windows = wide_einsum("nto,ao->nta", y_bar, kernel.reshape(-1, kernel.shape[-1]), precision)
        return _from_windows(windows.astype(y_bar.dtype), g)
    batch, windows, _ = y_bar.shape
    if g.groups == 1:  # (batch, windows, kernel_size * in channels)
        products = wide_einsum("nto,ao->nta", y_bar, kernel.reshape(-1, kernel.shape[-1]), precision)
    else:
        kernels = by_group(kernel, g.groups)
        products = wide_einsum("ntgo,kigo->ntkgi", by_group(y_bar, g.groups), kernels, precision)
    span = (windows - 1) * g.stride + 1

    def share(own: jax.Array, first: int) -> jax.Array:
        return pad(own, first, g.length - first - span, g.stride - 1)

    return _sum_of_shares(products.reshape(batch, windows, -1), g, share).astype(y_bar.dtype)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`kernel_bar[k] = x[k * dilation :: stride].T @ y_bar`, summed over batch and time.

    Of few out channels by windows of `y_bar` instead: ms of (1, 4000, 512) to 1 channel with 7 taps 0.30 where lax
    takes 9.8 and sums of shifts 0.87, of (8, 1000, 256) to 2 with 3 0.46 for 3.5 and 0.87 (the same).
    """
    g = geometry
    in_per_group, out_channels = x.shape[-1] // g.groups, y_bar.shape[-1]
    if few_out(g, in_per_group, out_channels):
        return _from_windows_of_y_bar(x, y_bar, g, precision).astype(x.dtype)
    if side_by_side(g):
        kernel_bar = wide_einsum("nta,nto->ao", _windows(x, g), y_bar, precision)
    elif g.groups == 1 and out_channels < (MOST_TURNED if g.kernel_size > 1 else 1) * in_per_group:
        kernel_bar = jnp.stack([wide_einsum("nto,nti->oi", y_bar, tap, precision) for tap in _taps(x, g)])
        kernel_bar = kernel_bar.swapaxes(1, 2)
    elif g.groups == 1:
        kernel_bar = jnp.stack([wide_einsum("nti,nto->io", tap, y_bar, precision) for tap in _taps(x, g)])
    else:
        y_bar = by_group(y_bar, g.groups)
        kernel_bar = jnp.stack(
            [wide_einsum("ntgi,ntgo->igo", by_group(tap, g.groups), y_bar, precision) for tap in _taps(x, g)]
        )
    return kernel_bar.reshape(g.kernel_size, in_per_group, out_channels).astype(x.dtype)


def few_out(g: Geometry, in_channels: int, out_channels: int) -> bool:
    """Whether the kernel gradient is one product of `x` with the windows of `y_bar`, which has fewer channels."""
    return g.groups == g.stride == 1 and FEW_OUT * out_channels <= in_channels and g.kernel_size > 1


def _from_windows_of_y_bar(x: jax.Array, y_bar: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """`kernel_bar[k] = sum_s x[s] * y_bar[s + low - k * dilation]`, the taps side by side as channels of `y_bar`."""
    last = g.reach - 1
    met = pad(y_bar, last - g.low, g.length - g.out_length + g.low)
    starts = range(last, -1, -g.dilation)
    windows = jnp.concatenate([jax.lax.slice_in_dim(met, s, s + g.length, axis=1) for s in starts], axis=2)
    kernel_bar = wide_einsum("nta,nti->ai", windows, x, precision)
    return kernel_bar.reshape(g.kernel_size, y_bar.shape[2], x.shape[2]).swapaxes(1, 2)


def _shifted_products(x: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """The samples times all taps in one product, of which a tap's columns are cut where they are to be added."""
    products = wide_einsum("nti,kio->ntko", x, kernel, precision)

    def share(own: jax.Array, first: int) -> jax.Array:
        return pad(own, -first, first + g.out_length - g.length)

    return _sum_of_shares(products.reshape(*x.shape[:2], -1), g, share).astype(x.dtype)


def _sum_of_shares(products: jax.Array, g: Geometry, share: Callable[[jax.Array, int], jax.Array]) -> jax.Array:
    """Each tap's columns of a product, put by `share` where they belong, and added.

    `share` is told the sample that the first window reads by the tap, negative in the padding.
    """
    size = products.shape[2] // g.kernel_size
    columns = [jax.lax.slice_in_dim(products, k * size, (k + 1) * size, axis=2) for k in range(g.kernel_size)]
    return total([share(own, k * g.dilation - g.low) for k, own in enumerate(columns)])


def _taps(x: jax.Array, g: Geometry) -> list[jax.Array]:
    """For each tap, the samples that it meets: (batch, out_length, in_channels)."""
    x = padded(x, g)
    span = (g.out_length - 1) * g.stride + 1
    return [
        jax.lax.slice_in_dim(x, k * g.dilation, k * g.dilation + span, g.stride, axis=1) for k in range(g.kernel_size)
    ]


def side_by_side(g: Geometry) -> bool:
    """Whether each sample is in at most one window, so that the windows are a reshape of `x`."""
    return g.groups == 1 and g.dilation == 1 and g.kernel_size <= g.stride and g.kernel_size > 1


def _windows(x: jax.Array, g: Geometry) -> jax.Array:
    """(batch, out_length, kernel_size * in_channels): windows that do not overlap."""
    batch, _, channels = x.shape
    cut = pad(x, g.low, g.out_length * g.stride - g.length - g.low)
    cut = cut.reshape(batch, g.out_length, g.stride, channels)[:, :, : g.kernel_size]
    return cut.reshape(batch, g.out_length, g.kernel_size * channels)


def _from_windows(windows: jax.Array, g: Geometry) -> jax.Array:
    """The adjoint of `_windows`: (batch, length, in_channels)."""
    batch, channels = windows.shape[0], windows.shape[-1] // g.kernel_size
    apart = windows.reshape(batch, g.out_length, g.kernel_size, channels)
    apart = jnp.pad(apart, [(0, 0), (0, 0), (0, g.stride - g.kernel_size), (0, 0)])
    joined = apart.reshape(batch, g.out_length * g.stride, channels)
    return pad(joined, -g.low, g.length + g.low - g.out_length * g.stride)
