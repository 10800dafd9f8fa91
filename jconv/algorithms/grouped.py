"""A dense convolution for each few groups: XLA's CPU compiler has a fast kernel for those and none for groups.

Where a group is too narrow for a matrix product worth the name, neighbours are merged into one dense kernel that is
zero between them: more products, all of them fast. An infinite or NaN sample then reaches its neighbours' outputs too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from . import lax
from .operands import by_group

# Groups are merged until they have this many channels, in or out.
WIDTH = 16


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One canonical convolution for each few groups, their outputs side by side."""
    merged = _merged(geometry, kernel.shape[1], kernel.shape[2])
    return _each(geometry, merged, lambda x, w, g: lax.forward(x, _joined(w, merged), g, precision), x, kernel)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One canonical convolution for each few groups."""
    merged = _merged(geometry, kernel.shape[1], kernel.shape[2])
    return _each(
        geometry, merged, lambda y, w, g: lax.input_gradient(y, _joined(w, merged), g, precision), y_bar, kernel
    )


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One canonical convolution for each few groups, of which the products between groups are dropped."""
    merged = _merged(geometry, x.shape[-1] // geometry.groups, y_bar.shape[-1])
    return _each(geometry, merged, lambda x, y, g: _parted(lax.kernel_gradient(x, y, g, precision), merged), x, y_bar)


def _merged(g: Geometry, in_per_group: int, out_channels: int) -> int:
    """How many groups are computed as one: the least divisor that makes `WIDTH` channels, or all."""
    width = min(in_per_group, out_channels // g.groups)
    return next(m for m in range(1, g.groups + 1) if g.groups % m == 0 and (m * width >= WIDTH or m == g.groups))


def _each(g: Geometry, merged: int, face: Callable[..., jax.Array], a: jax.Array, b: jax.Array) -> jax.Array:
    dense = replace(g, groups=1)
    shares = g.groups // merged
    parts = [
        face(x, y, dense) for x, y in zip(jnp.split(a, shares, axis=-1), jnp.split(b, shares, axis=-1), strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def _joined(kernel: jax.Array, merged: int) -> jax.Array:
    """(kernel_size, in a group, merged * out a group) to a dense kernel that is zero between groups."""
    if merged == 1:
        return kernel
    kernel_size, in_per_group, out_channels = kernel.shape
    diagonal = jnp.eye(merged, dtype=bool)[None, :, None, :, None]
    apart = jnp.where(diagonal, by_group(kernel, merged)[:, None], 0)
    return apart.reshape(kernel_size, merged * in_per_group, out_channels)


def _parted(kernel_bar: jax.Array, merged: int) -> jax.Array:
    """The adjoint of `_joined`: the blocks on the diagonal, side by side."""
    if merged == 1:
        return kernel_bar
    kernel_size, in_channels, out_channels = kernel_bar.shape
    blocks = kernel_bar.reshape(kernel_size, merged, in_channels // merged, merged, out_channels // merged)
    return jnp.concatenate([blocks[:, m, :, m] for m in range(merged)], axis=-1)
