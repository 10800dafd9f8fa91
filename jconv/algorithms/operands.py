"""What the algorithms do to their operands before they compute: pad, spread, reverse, widen, split by group."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry


def wide(x: jax.Array) -> jax.Array:
    """`x` in float32 if it is of a half type: what is summed is summed in float32."""
    return x.astype(wide_type(x))


def wide_type(x: jax.Array) -> Any:
    """The type that sums of `x` are taken in."""
    return jnp.promote_types(x.dtype, jnp.float32)


def pad(x: jax.Array, low: int, high: int, between: int = 0) -> jax.Array:
    """Zeros before, after and between the samples of (batch, length, channels)."""
    # lax.pad takes negative amounts as crops, which the input gradient of a convolution with much padding needs.
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (low, high, between), (0, 0, 0)])


def padded(x: jax.Array, geometry: Geometry) -> jax.Array:
    """`x` with the geometry's zeros: (batch, low + length + high, channels)."""
    return pad(x, geometry.low, geometry.high)


def spread(y_bar: jax.Array, geometry: Geometry) -> jax.Array:
    """`y_bar` with the zeros that make the input gradient a valid convolution of stride 1 with `swap_channels`."""
    g = geometry
    low, high = spread_padding(g)
    return pad(y_bar, low, high, g.stride - 1)


def spread_padding(geometry: Geometry) -> tuple[int, int]:
    """Zeros before and after the spread `y_bar`; negative where it is cropped."""
    g = geometry
    return g.reach - 1 - g.low, g.length - 1 - (g.out_length - 1) * g.stride + g.low


def kernel_gradient_padding(geometry: Geometry) -> tuple[int, int]:
    """Zeros before and after `x`, of which `y_bar` is the kernel: as many output samples as there are taps."""
    g = geometry
    return g.low, (g.kernel_size - 1) * g.dilation + (g.out_length - 1) * g.stride + 1 - g.length - g.low


def as_forward(y_bar: jax.Array, geometry: Geometry) -> tuple[jax.Array, Geometry]:
    """The operand and the geometry of stride 1 whose forward pass with `swap_channels`' kernel is the input gradient.

    At stride 1 the operand is `y_bar` itself; a stride spreads it with zeros.
    """
    g = geometry
    if g.stride > 1:
        y_bar = spread(y_bar, g)
        return y_bar, replace(g, length=y_bar.shape[1], stride=1, low=0, high=0)
    low, high = spread_padding(g)
    return y_bar, replace(g, length=g.out_length, low=low, high=high)


def swap_channels(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The kernel of the input gradient: reversed in time, in and out channels swapped within each group."""
    kernel_size, in_per_group, out_channels = kernel.shape
    groups = geometry.groups
    grouped = jnp.flip(kernel, 0).reshape(kernel_size, in_per_group, groups, out_channels // groups)
    return grouped.transpose(0, 3, 2, 1).reshape(kernel_size, out_channels // groups, groups * in_per_group)


def folded(geometry: Geometry) -> Geometry:
    """The geometry of stride 1 where `stride` samples lie side by side as channels, and as many taps do."""
    g = geometry
    taps = -(-g.kernel_size // g.stride)
    return Geometry(folded_length(g), taps, groups=g.groups)


def folded_length(geometry: Geometry) -> int:
    """How many times `stride` samples any window meets."""
    return geometry.out_length + (geometry.reach - 1) // geometry.stride


def fold(x: jax.Array, geometry: Geometry) -> jax.Array:
    """The padded samples that any window meets: (batch, folded length, stride * in_channels)."""
    g = geometry
    length = folded_length(g)
    return pad(x, g.low, length * g.stride - g.low - g.length).reshape(x.shape[0], length, g.stride * x.shape[2])


def unfold(x: jax.Array, geometry: Geometry) -> jax.Array:
    """The adjoint of `fold`: (batch, length, in_channels)."""
    g = geometry
    samples = x.shape[1] * g.stride
    return pad(x.reshape(x.shape[0], samples, x.shape[2] // g.stride), -g.low, g.length + g.low - samples)


def fold_kernel(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """(folded taps, stride * in_channels, out_channels), zeros in place of the taps that are missing."""
    g = geometry
    taps = folded(g).kernel_size
    kernel = jnp.pad(kernel, [(0, taps * g.stride - g.kernel_size), (0, 0), (0, 0)])
    return kernel.reshape(taps, g.stride * kernel.shape[1], kernel.shape[2])


def by_group(x: jax.Array, groups: int) -> jax.Array:
    """(..., channels) to (..., groups, channels // groups)."""
    # Not -1 for the last size, which an empty batch leaves open.
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def wide_einsum(subscripts: str, a: jax.Array, b: jax.Array, precision: Any) -> jax.Array:
    """A contraction summed and returned in `wide_type`."""
    return jnp.einsum(subscripts, a, b, precision=precision, preferred_element_type=wide_type(a))


def total(terms: list[jax.Array]) -> jax.Array:
    """Their sum, from the first to the last; of one shape and type."""
    return reduce(jax.lax.add, terms)  # Half of what jax.numpy's addition takes to trace, and there are dozens.
