"""Where values lie: over the devices of `jax.shard_map`, of an explicit mesh, and of a partitioned program.

JAX's own primitives know these things from private tables; ours ask here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec


def _varying(x: Any) -> frozenset[Any]:
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def vary_alike(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays cast to vary over the mesh axes of `jax.shard_map` that any of them varies over."""
    # The transpose of pcast is the sum over the mesh axis that a replicated operand's cotangent needs; without it
    # the gradient inside jax.shard_map is that of one device's share, and nothing says so.
    axes = frozenset[Any]().union(*(_varying(array) for array in arrays))
    return tuple(_vary_over(array, axes) for array in arrays)


def _vary_over(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
    missing = tuple(sorted(axes - _varying(x), key=str))
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


def is_partitioned(axis_context: Any) -> bool:
    """Whether XLA's partitioner decides where this equation's operands lie: several devices, not all axes manual."""
    if hasattr(axis_context, "manual_axes"):  # inside jax.shard_map
        mesh = axis_context.mesh
        left = [name for name in mesh.axis_names if name not in axis_context.manual_axes]
        return math.prod(mesh.shape[name] for name in left) > 1
    return getattr(axis_context, "num_devices", 1) > 1


def device_count(axis_context: Any) -> int:
    """How many devices the program of an equation has."""
    if hasattr(axis_context, "manual_axes"):
        return axis_context.mesh.size
    return getattr(axis_context, "num_devices", 1) or 1


def for_custom_partitioning(ctx: Any) -> Any:
    """A lowering context in which `custom_partitioning` works, and its devices; None where there is no such thing."""
    # A lowering knows the program's devices only if JAX met custom_partitioning when it traced the program, and ours
    # comes into being here. (Where JAX meets it, it refuses programs with two meshes, or a mesh without devices.) But
    # nothing that custom_partitioning makes of the devices depends on more than their number: any as many serve.
    # These attributes of a context have no public names. Where one is gone, the partitioner gets a contraction.
    module = ctx.module_context
    axis_context = module.axis_context
    if getattr(module.lowering_parameters, "for_export", True) or len(module.platforms) > 1:
        return None  # a callback cannot be serialized
    if not hasattr(axis_context, "device_assignment"):
        return None  # inside jax.shard_map, with some axes left to the partitioner
    try:
        devices = tuple(jax.devices(module.platforms[0])[: axis_context.num_devices])
    except RuntimeError:
        return None  # lowered for a platform that is not here
    if len(devices) < axis_context.num_devices:
        return None
    axis_context = dataclasses.replace(axis_context, device_assignment=devices)
    return ctx.replace(module_context=module.replace(axis_context=axis_context)), devices
