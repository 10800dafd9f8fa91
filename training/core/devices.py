"""Where a run lies on several devices: batches over some, the length of the recordings over others, params on each.

The mesh has two axes, `"batch"` and `"length"`, and nothing but the arrays says where a run lies: a learner is placed
once, what is computed from it follows, and so does a checkpoint that is read again. XLA's partitioner cuts the compiled
epoch up; statistics of batch normalization, losses and gradients are means over the whole batch because the program
says so, wherever the batch lies. docs/training.md says what moves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ..errors import UserError

Array = np.ndarray[Any, Any]

BATCH, LENGTH = "batch", "length"
# XLA's own way to the same, which JAX does not take beside its own.
FORCED = "xla_force_host_platform_device_count"


def simulate(count: int) -> None:
    """Let the CPU count as so many devices, where it is not too late and nobody has said otherwise."""
    if count > 1 and jax.config.values["jax_num_cpu_devices"] < 1 and FORCED not in os.environ.get("XLA_FLAGS", ""):
        # Once JAX has begun there are as many as there are, and that they are too few is said where they are counted.
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", count)


def mesh_for(count: int, over_length: int = 1, kind: str | None = None) -> Mesh | None:
    """A mesh of the first devices of a kind, by default of what JAX finds first; None for a single one.

    `count` is of all of them; `over_length` of them share a recording. Over several processes each gives as many.
    Raises `UserError` where there are fewer, and where `count` is no multiple of both.
    """
    processes = jax.process_count()
    for parts, what in ((over_length, f"--shard-length {over_length}"), (processes, f"the {processes} processes")):
        if count % parts:
            raise UserError(f"--devices {count} is not a multiple of {what}")
    if count == 1:
        return None
    found: dict[int, list[Any]] = {}
    for device in jax.devices(kind):
        found.setdefault(device.process_index, []).append(device)
    fewest, each = min(map(len, found.values())), count // processes
    if fewest < each:
        where = f"in one of the {processes} processes" if processes > 1 else "here"
        raise UserError(f"--devices {count}: JAX finds {fewest} {where}, and {each} are needed")
    first = [device for process in sorted(found) for device in found[process][:each]]
    return Mesh(np.array(first).reshape(-1, over_length), (BATCH, LENGTH), axis_types=(AxisType.Auto,) * 2)


def on_each(tree: Any, mesh: Mesh | None) -> Any:
    """The arrays of a tree whole on each device of the mesh; as they are where there is none."""
    if mesh is None:
        return tree
    # Copies, since training writes over what it is given.
    return jax.tree.map(lambda array: _laid(np.asarray(array), NamedSharding(mesh, P()), np.array), tree)


def as_lies(tree: Any, like: Any) -> Any:
    """NumPy's arrays as JAX's, placed as the ones of another tree are."""
    mesh = mesh_of(like)
    if mesh is not None:
        return on_each(tree, mesh)
    return jax.tree.map(lambda array, own: jax.device_put(array, own.sharding, may_alias=False), tree, like)


def mesh_of(tree: Any) -> Mesh | None:
    """The mesh on which the arrays of a tree lie."""
    sharding = jax.tree.leaves(tree)[0].sharding
    return sharding.mesh if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh) else None


def recordings(examples: Any, mesh: Mesh | None) -> Any:
    """NumPy's examples as JAX's, on the mesh: all of them on each device, and of each its share of the length."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, examples)
    specs = _specs(examples, None)
    return jax.tree.map(lambda array, spec: _laid(array, NamedSharding(mesh, spec)), examples, specs)


def shares(examples: Any, mesh: Mesh | None) -> Any:
    """A batch in a compiled function, cut over the mesh: each device computes its examples and its part of them."""
    if mesh is None:
        return examples
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(examples, BATCH))
    return jax.lax.with_sharding_constraint(examples, shardings)


def settled(tree: Any, mesh: Mesh | None) -> Any:
    """A tree in a compiled function that is to end whole on each device."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, P()))


def words(mesh: Mesh) -> str:
    """How many devices of which kind, and how they share."""
    apart = f", {size(mesh, LENGTH)} to a series" if size(mesh, LENGTH) > 1 else ""
    return f"{mesh.size} of {mesh.devices.flat[0].device_kind}{apart}"


def size(mesh: Mesh | None, axis: str = BATCH) -> int:
    """The number of devices along an axis of the mesh."""
    return 1 if mesh is None else mesh.shape[axis]


def host(array: jax.Array) -> Array:
    """An array that may lie over several processes, whole, as NumPy's."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(array, tiled=True))


def _specs(examples: Any, first: str | None) -> Any:
    """For each part how its axes lie: the first as said, the second over the length where that is what it is."""
    length = examples.x.shape[1]
    return jax.tree.map(lambda part: P(first, LENGTH) if part.shape[1:2] == (length,) else P(first), examples)


def _laid(array: Array, sharding: NamedSharding, made: Callable[[Array], Array] = np.asarray) -> jax.Array:
    # Not `device_put`, which over several processes first compares what each has.
    return jax.make_array_from_callback(array.shape, sharding, lambda index: made(array[index]))
