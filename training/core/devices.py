"""Sharding of a run over devices: a mesh with the axes `"batch"` and `"length"`, params replicated on each device.

A learner is placed on the mesh once; everything computed from it, and every restored checkpoint, has the same
placement. XLA partitions the compiled epoch. The epoch is written for the complete batch, so losses, gradients and the
statistics of batch normalization are means over all devices. docs/guides/devices.md describes the communication.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ..arrays import Array
from ..errors import UserError

BATCH, LENGTH = "batch", "length"
# XLA's flag for simulated devices, which cannot be combined with JAX's own option.
XLA_DEVICE_COUNT = "xla_force_host_platform_device_count"


def set_cpu_devices(count: int) -> None:
    """Let JAX present the CPU as `count` devices, unless the user has configured their number."""
    if (
        count > 1
        and jax.config.values["jax_num_cpu_devices"] < 1
        and XLA_DEVICE_COUNT not in os.environ.get("XLA_FLAGS", "")
    ):
        # RuntimeError if JAX is already initialized; `make_mesh` then reports that there are too few devices.
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", count)


def make_mesh(count: int, over_length: int = 1, kind: str | None = None) -> Mesh | None:
    """A mesh of `count` devices, `over_length` of which share each series; None for a single device.

    Takes the first devices of a kind, by default of JAX's default platform; with several processes, the same number
    from each. Raises `UserError` if there are too few, or if `count` is not a multiple of `over_length` and of the
    number of processes.
    """
    processes = jax.process_count()
    for parts, what in ((over_length, f"--shard-length {over_length}"), (processes, f"the {processes} processes")):
        if count % parts:
            raise UserError(f"--devices {count} is not a multiple of {what}")
    if count == 1:
        return None
    by_process: dict[int, list[Any]] = {}
    for device in jax.devices(kind):
        by_process.setdefault(device.process_index, []).append(device)
    fewest, needed = min(map(len, by_process.values())), count // processes
    if fewest < needed:
        where = f"in one of the {processes} processes" if processes > 1 else "here"
        raise UserError(f"--devices {count}: JAX finds {fewest} {where}, and {needed} are needed")
    chosen = [device for process in sorted(by_process) for device in by_process[process][:needed]]
    return Mesh(np.array(chosen).reshape(-1, over_length), (BATCH, LENGTH), axis_types=(AxisType.Auto,) * 2)


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """A copy of the arrays of a tree on each device of the mesh; the tree itself without a mesh."""
    if mesh is None:
        return tree
    # Copies, since training donates its buffers.
    return jax.tree.map(lambda array: _placed(np.asarray(array), NamedSharding(mesh, P()), np.array), tree)


def place_like(tree: Any, like: Any) -> Any:
    """NumPy arrays as JAX arrays, with the sharding of the arrays of another tree."""
    mesh = mesh_of(like)
    if mesh is not None:
        return replicate(tree, mesh)
    return jax.tree.map(lambda array, own: jax.device_put(array, own.sharding, may_alias=False), tree, like)


def mesh_of(tree: Any) -> Mesh | None:
    """The mesh that the arrays of a tree are sharded over, None for a single device."""
    sharding = jax.tree.leaves(tree)[0].sharding
    return sharding.mesh if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh) else None


def place_examples(examples: Any, mesh: Mesh | None) -> Any:
    """NumPy examples as JAX arrays: replicated over the batch axis, sharded along the length axis."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, examples)
    specs = _specs(examples, None)
    return jax.tree.map(lambda array, spec: _placed(array, NamedSharding(mesh, spec)), examples, specs)


def shard_batch(examples: Any, mesh: Mesh | None) -> Any:
    """A batch sharded over both axes of the mesh; for compiled functions."""
    if mesh is None:
        return examples
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(examples, BATCH))
    return jax.lax.with_sharding_constraint(examples, shardings)


def constrain_replicated(tree: Any, mesh: Mesh | None) -> Any:
    """A tree constrained to be replicated on each device; for compiled functions."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, P()))


def describe(mesh: Mesh) -> str:
    """The number and kind of the devices, and how many of them share a series."""
    shared = f", {axis_size(mesh, LENGTH)} per series" if axis_size(mesh, LENGTH) > 1 else ""
    return f"{mesh.size} of {mesh.devices.flat[0].device_kind}{shared}"


def axis_size(mesh: Mesh | None, axis: str = BATCH) -> int:
    """The number of devices along an axis of the mesh."""
    return 1 if mesh is None else mesh.shape[axis]


def to_host(array: jax.Array) -> Array:
    """The complete array in NumPy, even if it is sharded over several processes."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(process_allgather(array, tiled=True))


def _specs(examples: Any, batch_axis: str | None) -> Any:
    """The partition spec of each part of the examples: only arrays (n, length, ...) are sharded along the length."""
    length = examples.x.shape[1]
    return jax.tree.map(lambda part: P(batch_axis, LENGTH) if part.shape[1:2] == (length,) else P(batch_axis), examples)


def _placed(array: Array, sharding: NamedSharding, convert: Callable[[Array], Array] = np.asarray) -> jax.Array:
    # `device_put` would first check that the arrays of all processes are equal.
    return jax.make_array_from_callback(array.shape, sharding, lambda index: convert(array[index]))
