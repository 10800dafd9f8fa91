"""An operation in a program for several devices: shardings, what one device computes, what is sent.

XLA's partitioner is silently wrong about convolutions, so it never sees one. `jax.experimental.custom_partitioning`
gives it the operation's rule instead: which axes of the operands and of the result belong together, and for the layout
that it decides on, the program of one device. Every axis is one of

    e0, e1, ...  ensemble, in all three arrays: each device computes its members
    n0, n1, ...  batch: each device computes its examples
    i, o         channels; those that the result does not have are summed over devices
    g            with groups, the channels of both sides: each device computes whole groups
    t            length: devices exchange the samples that windows share (`halo.py`)
    -            lies on no mesh axis: the taps

Sums over devices come from contracted axes only: channels, and for the kernel's gradient batch and length.
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
from .device_axis import Line
from .device_layout import read_tilings
from .halo import cut, halo, only_real, read

Local = Callable[[jax.Array, jax.Array, Geometry], jax.Array]
Labels = tuple[str, ...]
UNTILED = "-"

# NumPy measures a type when first asked about it. XLA asks for the program of one device on threads that flush
# subnormal numbers to zero: measured there, float32 has none, and NumPy warns of it and remembers it.
for _measured in (jnp.float32, jnp.float64):
    jnp.finfo(_measured)


def split_over_devices(
    operation: str,
    geometry: Geometry,
    shapes: tuple[tuple[int, ...], ...],
    ensemble_ndim: int,
    local: Local,
    *,
    name: str,
    devices: Sequence[Any],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The operation as a function of both operands, for XLA's partitioner to split over automatic mesh axes.

    `shapes` are those of the operands and of the result, in numbers; `local(a, b, geometry)` computes the operation for
    the shapes of one device, and `name` holds all else that its result depends on; `devices` are the program's, or as
    many others.
    """
    labels = _labels(operation, geometry, ensemble_ndim, len(shapes[0]))
    sizes = {label: size for n in range(2) for label, size in zip(labels[n], shapes[n], strict=True)}
    rule = _Rule(operation, geometry, labels, sizes | {"g": geometry.groups}, local, devices)
    split = custom_partitioning(lambda a, b: local(a, b, geometry))
    split.def_partition(
        rule.partition,
        infer_sharding_from_operands=rule.infer,
        # The program's mesh may be unknown, and may not say what the partitioner does: see tiling.py.
        decode_shardings=False,
        sharding_rule=_shardy_rule(rule, shapes),
    )

    def function(a: jax.Array, b: jax.Array) -> jax.Array:
        return split(a, b)

    # The text of a program holds no more of the program of one device than the address of a callback, and the
    # persistent compilation cache goes by the text: nameless, one geometry is taken for another of the same shapes.
    function.__name__ = f"{name}_{geometry}"
    return jax.jit(function)


def _labels(operation: str, geometry: Geometry, ensemble_ndim: int, rank: int) -> tuple[Labels, Labels, Labels]:
    """What each axis of the two operands and of the result is."""
    members = tuple(f"e{d}" for d in range(ensemble_ndim))
    batch = tuple(f"n{d}" for d in range(rank - ensemble_ndim - 2))
    i, o, per_group = ("i", "o", "i") if geometry.groups == 1 else ("g", "g", UNTILED)
    x, y, kernel = (*members, *batch, "t", i), (*members, *batch, "t", o), (*members, UNTILED, per_group, o)
    return {"forward": (x, kernel, y), "input_gradient": (y, kernel, x), "kernel_gradient": (x, y, kernel)}[operation]


class _Plan(NamedTuple):
    """The mesh axes that each kind of axis lies over."""

    mesh: Mesh
    axes: dict[str, tuple[str, ...]]

    def ways(self, label: str) -> int:
        return math.prod(self.mesh.shape[name] for name in self.axes.get(label, ()))

    def line(self, label: str) -> Line:
        names = self.axes.get(label, ())
        return Line(names, tuple(self.mesh.shape[name] for name in names), self.mesh.axis_names)

    def sharding(self, labels: Labels) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*(self.axes.get(label) or None for label in labels)))


@dataclass(frozen=True, eq=False)
class _Rule:
    """What the partitioner asks, answered for one operation."""

    operation: str
    geometry: Geometry
    labels: tuple[Labels, Labels, Labels]
    sizes: dict[str, int]
    local: Local
    devices: Sequence[Any]
    # The caller's setting: XLA may ask from another thread, which does not have it.
    x64: bool = field(default_factory=lambda: jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def summed(self) -> Labels:
        """The contracted axes that may lie over several devices."""
        return tuple(sorted({*self.labels[0], *self.labels[1]} - {*self.labels[2], UNTILED}))

    @contextmanager
    def callers_setting(self) -> Iterator[None]:
        # Nor is the program's mesh, where XLA asks from the caller's own thread, any of one device's business.
        with (
            jax.enable_x64(self.x64),
            use_abstract_mesh(AbstractMesh((), ())),
        ):
            yield

    def infer(self, _mesh: Mesh, operands: Any, _result: Any) -> NamedSharding:
        return self.plan(operands).sharding(self.labels[2])

    def partition(self, _mesh: Mesh, operands: Any, result: Any) -> Any:
        plan = self.plan((*operands, result))
        of_a, of_b, of_result = (plan.sharding(labels) for labels in self.labels)
        return plan.mesh, self.on_one_device(plan), of_result, (of_a, of_b)

    def plan(self, arrays: Any) -> _Plan:
        """Each mesh axis for one kind of axis, so that little moves: the larger operand is asked before the smaller."""
        shardings, ranks = [array.sharding for array in arrays], [len(array.shape) for array in arrays]
        mesh, tilings = read_tilings(shardings, ranks, self.devices)
        plan = _Plan(mesh, {})
        # The result's layout counts only on mesh axes that the operands leave free.
        first = 0 if math.prod(arrays[0].shape) >= math.prod(arrays[1].shape) else 1
        for n in (first, 1 - first, *range(2, len(arrays))):
            for label, names in zip(self.labels[n], tilings[n], strict=True):
                self.adopt(plan, label, names)
        return plan

    def adopt(self, plan: _Plan, label: str, names: tuple[str, ...]) -> None:
        for name in names:
            if any(name in axes for axes in plan.axes.values()):
                continue
            if not self.divides(label, plan.ways(label) * plan.mesh.shape[name]):
                return
            plan.axes[label] = (*plan.axes.get(label, ()), name)

    def divides(self, label: str, ways: int) -> bool:
        """Whether an axis can be cut that many ways, all alike: the partitioner's filler must not enter a sum."""
        if label == "t":
            return True  # each device knows which of its samples are filler
        return label != UNTILED and self.sizes[label] > 0 and self.sizes[label] % ways == 0

    def on_one_device(self, plan: _Plan) -> Callable[[jax.Array, jax.Array], jax.Array]:
        geometry = replace(self.geometry, groups=self.geometry.groups // plan.ways("g"))
        along = plan.line("t")
        over = tuple(name for label in self.summed for name in plan.axes.get(label, ()))

        def compute(a: jax.Array, b: jax.Array) -> jax.Array:
            with self.callers_setting():
                alone = along.devices == 1
                result = self.local(a, b, geometry) if alone else self.with_halo(a, b, geometry, along)
                if not over:
                    return result
                # The devices' shares of a half-precision result are added in float32, as everything is.
                wide = result.astype(jnp.promote_types(result.dtype, jnp.float32))
                return jax.lax.psum(wide, over).astype(result.dtype)

        return compute

    def with_halo(self, a: jax.Array, b: jax.Array, geometry: Geometry, line: Line) -> jax.Array:
        around = halo(self.operation, geometry, line.devices)
        a = read(a, around.window, line)
        if self.operation == "kernel_gradient":
            b = only_real(b, geometry.out_length, line)
        result = self.local(a, b, around.geometry)
        if self.operation == "input_gradient":
            result = cut(result, around.drop, -(-geometry.length // line.devices), line)
        return result


def _shardy_rule(rule: _Rule, shapes: tuple[tuple[int, ...], ...]) -> SdyShardingRule:
    """The same for Shardy, which propagates layouts by it; with groups a channel axis is (group, its channels)."""
    arrays: list[ArrayMapping] = []
    inside: dict[str, int] = {}
    fixed: list[str] = []
    for n, (labels, shape) in enumerate(zip(rule.labels, shapes, strict=True)):
        factors: list[Any] = []
        for d, (label, size) in enumerate(zip(labels, shape, strict=True)):
            own = f"fixed{n}x{d}"
            if label == UNTILED:
                fixed.append(own)
                factors.append(own)
            elif label == "g" and size > rule.geometry.groups:
                fixed.append(own)
                inside[own] = size // rule.geometry.groups
                factors.append(CompoundFactor("g", own))
            else:
                factors.append(label)
        arrays.append(ArrayMapping(*factors))
    whole = {factor for array in arrays for factor in array if isinstance(factor, str)}
    if rule.geometry.groups > 1 and "g" not in whole:
        inside["g"] = rule.geometry.groups
    moved = ("t",) if "t" in whole and "t" not in rule.summed else ()
    return SdyShardingRule(
        tuple(arrays[:2]),
        tuple(arrays[2:]),
        reduction_factors=rule.summed,
        need_replication_factors=tuple(fixed),
        permutation_factors=moved,
        **inside,
    )
