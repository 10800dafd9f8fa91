"""All access to what JAX does not promise to keep: primitives, and what the context of a lowering says.

Where an attribute is missing, the answer is one that is right in every program: XLA's partitioner splits it, over an
unknown number of devices, for an unknown platform. `tests/primitive/test_jax_context.py` names the attribute that a
version of JAX lacks.
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
    "default_matmul_precision",
    "device_count",
    "for_custom_partitioning",
    "is_partitioned",
    "lower_function",
    "platforms",
    "register",
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
    """Give a bilinear primitive its rules; in a program for several platforms JAX asks both lowerings."""
    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(abstract)
    ad.defbilinear(primitive, *transpose)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, lower_on_cpu, platform="cpu")
    mlir.register_lowering(primitive, lower)


def lower_function(function: Callable[..., Any], ctx: Any, *operands: Any) -> Any:
    """Lower an equation to a function of one result."""
    return mlir.lower_fun(function, multiple_results=False)(ctx, *operands)


def default_matmul_precision() -> str | None:
    """What `jax.default_matmul_precision` is set to."""
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


def varying_axes(x: Any) -> frozenset[Any]:
    """The mesh axes of `jax.shard_map` that a value varies over.

    >>> varying_axes(jax.numpy.zeros(3))
    frozenset()
    """
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def platforms(ctx: Any) -> tuple[str, ...]:
    """The platforms that an equation is lowered for; none where JAX does not say."""
    try:
        return tuple(ctx.platforms or ctx.module_context.platforms)
    except (AttributeError, TypeError):
        return ()


def is_partitioned(ctx: Any) -> bool:
    """Whether XLA's partitioner decides how an equation is split: several devices, not all mesh axes manual."""
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
    """How many devices the program of an equation has; None where JAX does not say."""
    try:
        axis_context = ctx.module_context.axis_context
        return int(axis_context.num_devices if hasattr(axis_context, "num_devices") else axis_context.mesh.size)
    except (AttributeError, TypeError):
        return None


def for_custom_partitioning(ctx: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """A lowering context in which `custom_partitioning` works, and its devices; None where there is no such thing."""
    # A lowering knows the program's devices only if JAX met custom_partitioning when it traced the program, and ours
    # comes into being here. (Where JAX meets it, it refuses programs with two meshes, or a mesh without devices.) But
    # nothing that custom_partitioning makes of the devices depends on more than their number: any as many serve.
    try:
        module = ctx.module_context
        axis_context = module.axis_context
        if module.lowering_parameters.for_export or len(module.platforms) > 1:
            return None  # a callback cannot be serialized
        if not hasattr(axis_context, "device_assignment"):
            return None  # inside jax.shard_map, with some axes left to the partitioner
        devices = tuple(jax.devices(module.platforms[0])[: axis_context.num_devices])
        if len(devices) < axis_context.num_devices:
            return None
        axis_context = dataclasses.replace(axis_context, device_assignment=devices)
        return ctx.replace(module_context=module.replace(axis_context=axis_context)), devices
    except RuntimeError:
        return None  # lowered for a platform that is not here
    except (AttributeError, TypeError):
        return None  # another JAX
