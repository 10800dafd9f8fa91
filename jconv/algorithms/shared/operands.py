"""Transformations of the operands that several algorithms share: padding, dtypes, groups, space-to-depth."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from ...geometry import Geometry


def upcast(x: jax.Array) -> jax.Array:
    """Converts 16-bit floats to float32, the dtype in which they accumulate."""
    return x.astype(accumulation_dtype(x))


def accumulation_dtype(x: jax.Array) -> Any:
    """Returns the dtype in which sums of `x` accumulate: at least float32."""
    return jnp.promote_types(x.dtype, jnp.float32)


def pad(x: jax.Array, low: int, high: int, interior: int = 0) -> jax.Array:
    """Pads (batch, length, channels) with zeros before, after and between the samples.

    Negative `low` and `high` crop, which the input gradient of a convolution with much padding needs.
    """
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (low, high, interior), (0, 0, 0)])


def pad_input(x: jax.Array, geometry: Geometry) -> jax.Array:
    """Pads `x` as the convolution does: (batch, low + length + high, channels)."""
    return pad(x, geometry.low, geometry.high)


def dilate_and_pad(y_bar: jax.Array, geometry: Geometry) -> jax.Array:
    """Inserts `stride - 1` zeros between the samples of `y_bar` and pads it.

    The input gradient is then a convolution of stride 1, without padding, with the kernel of `transpose_kernel`.
    """
    g = geometry
    low, high = input_gradient_padding(g)
    return pad(y_bar, low, high, g.stride - 1)


def input_gradient_padding(geometry: Geometry) -> tuple[int, int]:
    """Returns the padding of the dilated `y_bar` in the input gradient; negative values crop."""
    g = geometry
    return g.reach - 1 - g.low, g.length - 1 - (g.out_length - 1) * g.stride + g.low


def kernel_gradient_padding(geometry: Geometry) -> tuple[int, int]:
    """Returns the padding of `x` in the kernel gradient, where `y_bar` is the kernel; negative values crop.

    With this padding the convolution has `kernel_size` outputs.
    """
    g = geometry
    return g.low, (g.out_length - 1) * g.stride + g.reach - g.length - g.low


def input_gradient_as_forward(y_bar: jax.Array, geometry: Geometry) -> tuple[jax.Array, Geometry]:
    """Expresses the input gradient as a forward convolution of stride 1.

    Returns:
        The operand and the geometry. The kernel comes from `transpose_kernel`. For stride 1 the operand is `y_bar`
        itself; otherwise it is `y_bar` with zeros inserted and padded.
    """
    g = geometry
    if g.stride > 1:
        y_bar = dilate_and_pad(y_bar, g)
        return y_bar, replace(g, length=y_bar.shape[1], stride=1, low=0, high=0)
    low, high = input_gradient_padding(g)
    return y_bar, replace(g, length=g.out_length, low=low, high=high)


def transpose_kernel(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the kernel of the input gradient: flipped in time, with in and out channels swapped within each group."""
    kernel_size, in_per_group, out_channels = kernel.shape
    groups = geometry.groups
    grouped = jnp.flip(kernel, 0).reshape(kernel_size, in_per_group, groups, out_channels // groups)
    return grouped.transpose(0, 3, 2, 1).reshape(kernel_size, out_channels // groups, groups * in_per_group)


def space_to_depth_geometry(geometry: Geometry) -> Geometry:
    """Returns the equivalent geometry of stride 1 after `space_to_depth` and `space_to_depth_kernel`."""
    g = geometry
    taps = -(-g.kernel_size // g.stride)
    return Geometry(space_to_depth_length(g), taps, groups=g.groups)


def space_to_depth_length(geometry: Geometry) -> int:
    """Returns the length after `space_to_depth`."""
    return geometry.out_length + (geometry.reach - 1) // geometry.stride


def space_to_depth(x: jax.Array, geometry: Geometry) -> jax.Array:
    """Moves each `stride` consecutive samples of the padded `x` into the channels.

    Returns an array (batch, space_to_depth_length, stride * in_channels), without samples that no window reads.
    """
    g = geometry
    length = space_to_depth_length(g)
    return pad(x, g.low, length * g.stride - g.low - g.length).reshape(x.shape[0], length, g.stride * x.shape[2])


def depth_to_space(x: jax.Array, geometry: Geometry) -> jax.Array:
    """The adjoint of `space_to_depth`: returns (batch, length, in_channels)."""
    g = geometry
    samples = x.shape[1] * g.stride
    return pad(x.reshape(x.shape[0], samples, x.shape[2] // g.stride), -g.low, g.length + g.low - samples)


def space_to_depth_kernel(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Moves each `stride` consecutive taps into the in channels, with zeros for missing taps at the end.

    Returns an array (ceil(kernel_size / stride), stride * in_channels, out_channels).
    """
    g = geometry
    taps = space_to_depth_geometry(g).kernel_size
    kernel = jnp.pad(kernel, [(0, taps * g.stride - g.kernel_size), (0, 0), (0, 0)])
    return kernel.reshape(taps, g.stride * kernel.shape[1], kernel.shape[2])


def split_groups(x: jax.Array, groups: int) -> jax.Array:
    """Reshapes (..., channels) to (..., groups, channels // groups)."""
    # The last size is explicit because -1 is ambiguous for an empty batch.
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def accumulating_einsum(subscripts: str, a: jax.Array, b: jax.Array, precision: Any) -> jax.Array:
    """`jnp.einsum` that accumulates in `accumulation_dtype` and returns it."""
    return jnp.einsum(subscripts, a, b, precision=precision, preferred_element_type=accumulation_dtype(a))


def add_all(terms: list[jax.Array]) -> jax.Array:
    """Adds arrays of the same shape and dtype, from left to right."""
    return reduce(jax.lax.add, terms)  # `jnp.add` takes twice as long to trace, and there are dozens of terms.
