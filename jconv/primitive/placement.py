"""Where values are: the mesh axes that they vary over in `jax.shard_map`, and their shardings on explicit meshes.

JAX handles both for its own primitives; this module does so for jconv's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from ..algorithms.shared.operands import upcast
from .jax_context import varying_axes


def match_varying_axes(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Casts arrays so that all vary over the mesh axes of `jax.shard_map` that any of them varies over."""
    # The transpose of pcast is the sum over the mesh axis that the cotangent of a replicated operand needs. Without it
    # the gradient inside jax.shard_map would silently be the gradient of one device.
    axes = frozenset[Any]().union(*(varying_axes(array) for array in arrays))
    return tuple(_vary_over(array, axes) for array in arrays)


def _vary_over(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
    missing = tuple(sorted(axes - varying_axes(x), key=str))
    if not missing:
        return x
    # In float32, because the transpose is a sum over devices.
    return jax.lax.pcast(upcast(x), missing, to="varying").astype(x.dtype)


def full_spec(aval: Any) -> tuple[Any, ...]:
    """Returns the entry of the partition spec for each axis of an abstract value: mesh axes or None."""
    spec = tuple(aval.sharding.spec)
    return spec + (None,) * (aval.ndim - len(spec))


def is_explicitly_sharded(aval: Any) -> bool:
    """Returns whether an axis of an abstract value is sharded over an explicit mesh."""
    return any(axes is not None for axes in full_spec(aval))


def valid_spec(spec: tuple[Any, ...], shape: tuple[int, ...], mesh: Any) -> PartitionSpec:
    """Returns `spec` without entries whose mesh axes occur in an earlier entry or do not divide the axis."""
    used: set[Any] = set()
    entries = []
    for axes, size in zip(spec, shape, strict=True):
        names = axes if isinstance(axes, tuple) else () if axes is None else (axes,)
        devices = math.prod(mesh.shape[name] for name in names)
        is_valid = names and not used & set(names) and size % devices == 0
        used |= set(names) if is_valid else set()
        entries.append(axes if is_valid else None)
    return PartitionSpec(*entries)


def replicate_length(x: jax.Array) -> jax.Array:
    """Returns `x` (..., length, channels) with the complete length on every device of an explicit mesh."""
    spec = full_spec(jax.typeof(x))
    if spec[-2] is None:
        return x
    return jax.sharding.reshard(x, jax.typeof(x).sharding.update(spec=PartitionSpec(*spec[:-2], None, spec[-1])))


def reshard_like(x: jax.Array, aval: Any) -> jax.Array:
    """Gives a cotangent the explicit sharding of its primal, so that cotangents of one value can be added."""
    if is_explicitly_sharded(aval) or is_explicitly_sharded(jax.typeof(x)):
        return jax.sharding.reshard(x, aval.sharding)
    return x


def on_automatic_axes(compute: Callable[..., jax.Array], out_sharding: Any) -> Callable[..., jax.Array]:
    """Returns a function of explicitly sharded operands that runs `compute` on automatic mesh axes.

    Axes that `jax.shard_map` has made manual stay manual.
    """
    mesh = out_sharding.mesh
    auto_axes: Any = jax.sharding.auto_axes  # Its return type also includes the type of a decorator.
    inside = auto_axes(compute, axes=mesh.explicit_axes, out_sharding=out_sharding.spec)

    def function(a: jax.Array, b: jax.Array) -> jax.Array:
        # Explicitly sharded arrays know their mesh, but auto_axes uses the one that the caller has set.
        current = jax.sharding.get_abstract_mesh()
        with jax.sharding.use_abstract_mesh(mesh if current.empty else current):
            return inside(a, b)

    return function
