"""The rules by which XLA's partitioner splits an operation over devices, and what each device computes.

XLA's partitioner is silently wrong about convolutions, so it never sees one. `jax.experimental.custom_partitioning`
gives it the rule of the operation instead: which axes of operands and result correspond, and the program of one device
for the sharding that it decides on. Each axis has a label:

    e0, e1, ...  ensemble, in all three arrays: each device computes its own convolutions
    n0, n1, ...  batch: each device computes its own examples
    i, o         channels. Channels that the result does not have are summed over devices
    g            with groups, the channels of both sides: each device computes its own groups
    t            length: devices exchange the samples that windows share (`halo.py`)
    -            never sharded: the taps

Only contracted axes are summed over devices: channels, and in the kernel gradient batch and length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.custom_partitioning import ArrayMapping, CompoundFactor, SdyShardingRule, custom_partitioning
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec, use_abstract_mesh

from ..geometry import Geometry
from .device_axis import DeviceAxis
from .device_layout import read_tilings
from .halo import plan_halo, read_window, slice_per_device, zero_beyond_length

Compute = Callable[[jax.Array, jax.Array, Geometry], jax.Array]
Labels = tuple[str, ...]
UNSHARDED = "-"

# NumPy measures the limits of a dtype at its first use. XLA may request the program of one device on a thread that
# flushes subnormal numbers to zero, where NumPy would find none, warn, and remember that.
for _dtype in (jnp.float32, jnp.float64):
    jnp.finfo(_dtype)


def make_partitioned(
    operation: str,
    geometry: Geometry,
    shapes: tuple[tuple[int, ...], ...],
    ensemble_ndim: int,
    compute: Compute,
    *,
    name: str,
    devices: Sequence[Any],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Returns the operation as a function of both operands that XLA's partitioner splits over automatic mesh axes.

    Args:
        operation: One of `algorithms.OPERATIONS`.
        geometry: The geometry.
        shapes: Shapes of both operands and the result, without symbolic sizes.
        ensemble_ndim: Number of leading ensemble axes.
        compute: `compute(a, b, geometry)` computes the operation for the shapes of one device.
        name: Identifies everything else that the result depends on.
        devices: The devices of the program, or others of the same number.
    """
    labels = _label_axes(operation, geometry, ensemble_ndim, len(shapes[0]))
    sizes = {label: size for n in range(2) for label, size in zip(labels[n], shapes[n], strict=True)}
    rule = _Rule(operation, geometry, labels, sizes | {"g": geometry.groups}, compute, devices)
    partitioned = custom_partitioning(lambda a, b: compute(a, b, geometry))
    partitioned.def_partition(
        rule.partition,
        infer_sharding_from_operands=rule.infer_result_sharding,
        # The program's mesh may be unknown, and may not describe what the partitioner does: see device_layout.py.
        decode_shardings=False,
        sharding_rule=_shardy_rule(rule, shapes),
    )

    def function(a: jax.Array, b: jax.Array) -> jax.Array:
        return partitioned(a, b)

    # The text of a program contains only the address of a callback, and the persistent compilation cache uses the text
    # as key. Without the name, two geometries with the same shapes would be confused.
    function.__name__ = f"{name}_{geometry}"
    return jax.jit(function)


def _label_axes(operation: str, geometry: Geometry, ensemble_ndim: int, ndim: int) -> tuple[Labels, Labels, Labels]:
    """Returns the labels of the axes of both operands and the result."""
    ensemble = tuple(f"e{d}" for d in range(ensemble_ndim))
    batch = tuple(f"n{d}" for d in range(ndim - ensemble_ndim - 2))
    i, o, per_group = ("i", "o", "i") if geometry.groups == 1 else ("g", "g", UNSHARDED)
    x, y = (*ensemble, *batch, "t", i), (*ensemble, *batch, "t", o)
    kernel = (*ensemble, UNSHARDED, per_group, o)
    return {"forward": (x, kernel, y), "input_gradient": (y, kernel, x), "kernel_gradient": (x, y, kernel)}[operation]


class _Sharding(NamedTuple):
    """The mesh axes that each label is sharded over."""

    mesh: Mesh
    axes: dict[str, tuple[str, ...]]

    def devices(self, label: str) -> int:
        return math.prod(self.mesh.shape[name] for name in self.axes.get(label, ()))

    def device_axis(self, label: str) -> DeviceAxis:
        names = self.axes.get(label, ())
        return DeviceAxis(names, tuple(self.mesh.shape[name] for name in names), self.mesh.axis_names)

    def of(self, labels: Labels) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*(self.axes.get(label) or None for label in labels)))


@dataclass(frozen=True, eq=False)
class _Rule:
    """The partitioning rule of one operation."""

    operation: str
    geometry: Geometry
    labels: tuple[Labels, Labels, Labels]
    sizes: dict[str, int]
    compute: Compute
    devices: Sequence[Any]
    # The caller's setting, because XLA may call from another thread, which has the default.
    x64: bool = field(default_factory=lambda: jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def summed(self) -> Labels:
        """The contracted axes that may be sharded."""
        return tuple(sorted({*self.labels[0], *self.labels[1]} - {*self.labels[2], UNSHARDED}))

    @contextmanager
    def tracing_context(self) -> Iterator[None]:
        """The caller's settings without the program's mesh, which may be set in the thread from which XLA calls."""
        with jax.enable_x64(self.x64), use_abstract_mesh(AbstractMesh((), ())):
            yield

    def infer_result_sharding(self, _mesh: Mesh, operands: Any, _result: Any) -> NamedSharding:
        return self.decide_sharding(operands).of(self.labels[2])

    def partition(self, _mesh: Mesh, operands: Any, result: Any) -> Any:
        sharding = self.decide_sharding((*operands, result))
        a, b, out = (sharding.of(labels) for labels in self.labels)
        return sharding.mesh, self.program_of_one_device(sharding), out, (a, b)

    def decide_sharding(self, arrays: Any) -> _Sharding:
        """Assigns each mesh axis to one label. The larger operand comes first, so that little data is moved."""
        shardings, ranks = [array.sharding for array in arrays], [len(array.shape) for array in arrays]
        mesh, tilings = read_tilings(shardings, ranks, self.devices)
        sharding = _Sharding(mesh, {})
        # The sharding of the result counts only for mesh axes that the operands do not use.
        first = 0 if math.prod(arrays[0].shape) >= math.prod(arrays[1].shape) else 1
        for n in (first, 1 - first, *range(2, len(arrays))):
            for label, names in zip(self.labels[n], tilings[n], strict=True):
                self._assign(sharding, label, names)
        return sharding

    def _assign(self, sharding: _Sharding, label: str, names: tuple[str, ...]) -> None:
        for name in names:
            if any(name in axes for axes in sharding.axes.values()):
                continue
            if not self._can_be_sharded(label, sharding.devices(label) * sharding.mesh.shape[name]):
                return
            sharding.axes[label] = (*sharding.axes.get(label, ()), name)

    def _can_be_sharded(self, label: str, devices: int) -> bool:
        """Returns whether all shards have equal sizes. Unequal shards are padded, and a sum must not add padding."""
        if label == "t":
            return True  # Each device knows which of its samples exist.
        return label != UNSHARDED and self.sizes[label] > 0 and self.sizes[label] % devices == 0

    def program_of_one_device(self, sharding: _Sharding) -> Callable[[jax.Array, jax.Array], jax.Array]:
        geometry = replace(self.geometry, groups=self.geometry.groups // sharding.devices("g"))
        along_length = sharding.device_axis("t")
        summed = tuple(name for label in self.summed for name in sharding.axes.get(label, ()))

        def program(a: jax.Array, b: jax.Array) -> jax.Array:
            with self.tracing_context():
                if along_length.size == 1:
                    result = self.compute(a, b, geometry)
                else:
                    result = self._compute_with_halo(a, b, geometry, along_length)
                if not summed:
                    return result
                # 16-bit floats are added in float32, as everywhere.
                wide = result.astype(jnp.promote_types(result.dtype, jnp.float32))
                return jax.lax.psum(wide, summed).astype(result.dtype)

        return program

    def _compute_with_halo(self, a: jax.Array, b: jax.Array, geometry: Geometry, along_length: DeviceAxis) -> jax.Array:
        plan = plan_halo(self.operation, geometry, along_length.size)
        a = read_window(a, plan.window, along_length)
        if self.operation == "kernel_gradient":
            b = zero_beyond_length(b, geometry.out_length, along_length)
        result = self.compute(a, b, plan.geometry)
        if self.operation == "input_gradient":
            result = slice_per_device(result, plan.drop, -(-geometry.length // along_length.size), along_length)
        return result


def _shardy_rule(rule: _Rule, shapes: tuple[tuple[int, ...], ...]) -> SdyShardingRule:
    """Returns the rule for Shardy. With groups, an axis of channels has two factors: the group and its channels."""
    arrays: list[ArrayMapping] = []
    factor_sizes: dict[str, int] = {}
    replicated: list[str] = []
    for n, (labels, shape) in enumerate(zip(rule.labels, shapes, strict=True)):
        factors: list[Any] = []
        for d, (label, size) in enumerate(zip(labels, shape, strict=True)):
            own = f"fixed{n}x{d}"
            if label == UNSHARDED:
                replicated.append(own)
                factors.append(own)
            elif label == "g" and size > rule.geometry.groups:
                replicated.append(own)
                factor_sizes[own] = size // rule.geometry.groups
                factors.append(CompoundFactor("g", own))
            else:
                factors.append(label)
        arrays.append(ArrayMapping(*factors))
    plain = {factor for array in arrays for factor in array if isinstance(factor, str)}
    if rule.geometry.groups > 1 and "g" not in plain:
        factor_sizes["g"] = rule.geometry.groups
    permuted = ("t",) if "t" in plain and "t" not in rule.summed else ()
    return SdyShardingRule(
        tuple(arrays[:2]),
        tuple(arrays[2:]),
        reduction_factors=rule.summed,
        need_replication_factors=tuple(replicated),
        permutation_factors=permuted,
        **factor_sizes,
    )
