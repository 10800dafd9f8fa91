"""Where values lie: over the devices of `jax.shard_map` and of an explicit mesh.

JAX's own primitives know these things from private tables; ours ask here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from .jax_context import varying_axes


def vary_alike(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays cast to vary over the mesh axes of `jax.shard_map` that any of them varies over."""
    # The transpose of pcast is the sum over the mesh axis that a replicated operand's cotangent needs; without it
    # the gradient inside jax.shard_map is that of one device's share, and nothing says so.
    axes = frozenset[Any]().union(*(varying_axes(array) for array in arrays))
    return tuple(_vary_over(array, axes) for array in arrays)


def _vary_over(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
    missing = tuple(sorted(axes - varying_axes(x), key=str))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def full_spec(aval: Any) -> tuple[Any, ...]:
    """For each axis of an abstract value the mesh axes it lies over on an explicit mesh, or None."""
    spec = tuple(aval.sharding.spec)
    return spec + (None,) * (aval.ndim - len(spec))


def _ways(axes: Any, mesh: Any) -> int:
    """Over how many devices an axis lies that has this entry in a partition spec."""
    return math.prod(mesh.shape[name] for name in _names(axes))


def _names(axes: Any) -> tuple[Any, ...]:
    return axes if isinstance(axes, tuple) else () if axes is None else (axes,)


def valid_spec(wish: tuple[Any, ...], shape: tuple[int, ...], mesh: Any) -> PartitionSpec:
    """`wish`, less each mesh axis that was used before it and each that does not divide its size."""
    used: set[Any] = set()
    spec = []
    for axes, size in zip(wish, shape, strict=True):
        names = _names(axes)
        fits = names and not used & set(names) and size % _ways(axes, mesh) == 0
        used |= set(names) if fits else set()
        spec.append(axes if fits else None)
    return PartitionSpec(*spec)


def with_whole_length(x: jax.Array) -> jax.Array:
    """`x` (..., length, channels) with its length on every device, where an explicit mesh cuts it."""
    spec = full_spec(jax.typeof(x))
    if spec[-2] is None:
        return x
    return jax.sharding.reshard(x, jax.typeof(x).sharding.update(spec=PartitionSpec(*spec[:-2], None, spec[-1])))


def lies_like(x: jax.Array, aval: Any) -> jax.Array:
    """A cotangent placed on an explicit mesh as its primal is, so that cotangents of one value can be added."""
    if all(axes is None for axes in full_spec(aval)) and all(axes is None for axes in full_spec(jax.typeof(x))):
        return x
    return jax.sharding.reshard(x, aval.sharding)


def on_automatic_axes(compute: Callable[..., jax.Array], out_sharding: Any) -> Callable[..., jax.Array]:
    """`compute` over explicit mesh axes as over automatic ones; axes that `jax.shard_map` has made manual stay so."""
    mesh = out_sharding.mesh
    automatic: Any = jax.sharding.auto_axes  # its return type is that of its use as a decorator as well
    inside = automatic(compute, axes=mesh.explicit_axes, out_sharding=out_sharding.spec)

    def function(a: jax.Array, b: jax.Array) -> jax.Array:
        # Explicitly sharded arrays bring their mesh with them, but auto_axes asks for the one that the caller has set.
        current = jax.sharding.get_abstract_mesh()
        with jax.sharding.use_abstract_mesh(mesh if current.empty else current):
            return inside(a, b)

    return function
