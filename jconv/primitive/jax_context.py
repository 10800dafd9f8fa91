"""All access to JAX's internals: registering primitives, and the context of a lowering.

It fails closed. If an attribute is missing, the answer is one that is correct in every program: XLA's partitioner
splits the operation, over an unknown number of devices, on an unknown platform. `tests/primitive/test_jax_context.py`
names the attribute that a version of JAX lacks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

__all__ = [
    "Primitive",
    "custom_partitioning_context",
    "default_matmul_precision",
    "device_count",
    "is_partitioned",
    "lower_function",
    "platforms",
    "register",
    "register_identity",
    "varying_axes",
]


def register(
    primitive: Primitive,
    *,
    evaluate: Callable[..., Any],
    abstract: Callable[..., Any],
    transpose: tuple[Callable[..., Any], Callable[..., Any]],
    batch: Callable[..., Any],
    lower: Callable[..., Any],
    lower_on_cpu: Callable[..., Any],
) -> None:
    """Registers the rules of a bilinear primitive. Programs for several platforms use both lowerings."""
    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(abstract)
    ad.defbilinear(primitive, *transpose)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, lower_on_cpu, platform="cpu")
    mlir.register_lowering(primitive, lower)


def register_identity(primitive: Primitive, *, lower_on_cpu: Callable[..., Any]) -> None:
    """Registers the rules of a primitive that returns its operand. On other platforms it is lowered to nothing."""
    primitive.def_impl(lambda x: x)
    primitive.def_abstract_eval(lambda aval: aval)
    ad.deflinear2(primitive, lambda cotangent, _: [cotangent])
    batching.defvectorized(primitive)
    mlir.register_lowering(primitive, lower_on_cpu, platform="cpu")
    mlir.register_lowering(primitive, lambda _, x: [x])


def lower_function(function: Callable[..., Any], ctx: Any, *operands: Any) -> Any:
    """Lowers an equation to a function with one result."""
    return mlir.lower_fun(function, multiple_results=False)(ctx, *operands)


def default_matmul_precision() -> str | None:
    """Returns the value of `jax.default_matmul_precision`."""
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


def varying_axes(x: Any) -> frozenset[Any]:
    """Returns the mesh axes of `jax.shard_map` that a value varies over.

    >>> varying_axes(jax.numpy.zeros(3))
    frozenset()
    """
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def platforms(ctx: Any) -> tuple[str, ...]:
    """Returns the platforms that an equation is lowered for, or none if that is unknown."""
    try:
        return tuple(ctx.platforms or ctx.module_context.platforms)
    except (AttributeError, TypeError):
        return ()


def is_partitioned(ctx: Any) -> bool:
    """Returns whether XLA's partitioner splits an equation: on several devices, unless all mesh axes are manual."""
    try:
        axis_context = ctx.module_context.axis_context
        if hasattr(axis_context, "num_devices"):
            return int(axis_context.num_devices) > 1
        # Inside jax.shard_map.
        mesh, manual = axis_context.mesh, axis_context.manual_axes
        return math.prod(mesh.shape[name] for name in mesh.axis_names if name not in manual) > 1
    except (AttributeError, TypeError, KeyError):
        return True


def device_count(ctx: Any) -> int | None:
    """Returns the number of devices of the program, or None if that is unknown."""
    try:
        axis_context = ctx.module_context.axis_context
        return int(axis_context.num_devices if hasattr(axis_context, "num_devices") else axis_context.mesh.size)
    except (AttributeError, TypeError):
        return None


def custom_partitioning_context(ctx: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """Returns a lowering context in which `custom_partitioning` works, and its devices, or None if there is none."""
    # A lowering knows the program's devices only if JAX found custom_partitioning while it traced the program, but ours
    # is created during lowering. (JAX rejects custom_partitioning in programs with two meshes, or a mesh without
    # devices.) custom_partitioning uses only the number of devices, so any devices of that number will do.
    try:
        module = ctx.module_context
        axis_context = module.axis_context
        if module.lowering_parameters.for_export or len(module.platforms) > 1:
            return None  # A callback cannot be serialized.
        if not hasattr(axis_context, "device_assignment"):
            return None  # Inside jax.shard_map, with some axes left to the partitioner.
        devices = tuple(jax.devices(module.platforms[0])[: axis_context.num_devices])
        if len(devices) < axis_context.num_devices:
            return None
        axis_context = dataclasses.replace(axis_context, device_assignment=devices)
        return ctx.replace(module_context=module.replace(axis_context=axis_context)), devices
    except RuntimeError:
        return None  # Lowered for a platform that this machine does not have.
    except (AttributeError, TypeError):
        return None  # Another version of JAX.
