"""Where values lie: over the devices of `jax.shard_map`, of an explicit mesh, and of a partitioned program.

JAX's own primitives know these things from private tables; ours ask here.
"""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import PartitionSpec


def _varying(x: Any) -> frozenset[Any]:
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def vary_alike(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both operands cast to vary over the mesh axes of `jax.shard_map` that either varies over."""
    # The transpose of pcast is the sum over the mesh axis that a replicated operand's cotangent needs; without it
    # the gradient inside jax.shard_map is that of one device's share, and nothing says so.
    axes = _varying(a) | _varying(b)
    return _vary_over(a, axes), _vary_over(b, axes)


def _vary_over(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
    missing = tuple(sorted(axes - _varying(x), key=str))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def full_spec(aval: Any) -> tuple[Any, ...]:
    """For each axis of an abstract value the mesh axes it lies over on an explicit mesh, or None."""
    spec = tuple(aval.sharding.spec)
    return spec + (None,) * (aval.ndim - len(spec))


def valid_spec(wish: tuple[Any, ...], shape: tuple[int, ...], mesh: Any) -> PartitionSpec:
    """`wish`, less each mesh axis that was used before it and each that does not divide its size."""
    used: set[Any] = set()
    spec = []
    for axes, size in zip(wish, shape, strict=True):
        names = axes if isinstance(axes, tuple) else () if axes is None else (axes,)
        fits = names and not used & set(names) and size % math.prod(mesh.shape[n] for n in names) == 0
        used |= set(names) if fits else set()
        spec.append(axes if fits else None)
    return PartitionSpec(*spec)


def lies_like(x: jax.Array, aval: Any) -> jax.Array:
    """A cotangent placed on an explicit mesh as its primal is, so that cotangents of one value can be added."""
    if all(axes is None for axes in full_spec(aval)) and all(axes is None for axes in full_spec(jax.typeof(x))):
        return x
    return jax.sharding.reshard(x, aval.sharding)


def is_partitioned(axis_context: Any) -> bool:
    """Whether XLA's partitioner decides where this equation's operands lie: several devices, not all axes manual."""
    if hasattr(axis_context, "manual_axes"):  # inside jax.shard_map
        mesh = axis_context.mesh
        left = [name for name in mesh.axis_names if name not in axis_context.manual_axes]
        return math.prod(mesh.shape[name] for name in left) > 1
    return getattr(axis_context, "num_devices", 1) > 1
