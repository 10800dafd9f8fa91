"""JAX's internals: this version has every attribute that jconv uses. If one is missing, results are still correct."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from jconv.geometry import is_symbolic
from jconv.primitive import jax_context

ROOT = Path(jconv.__file__).parent
X, KERNEL = jnp.ones((8, 16, 4)), jnp.ones((3, 4, 4))


def mesh(*names: str) -> jax.sharding.Mesh:
    shape = (8,) if len(names) == 1 else (4, 2)
    return jax.make_mesh(shape, names, (AxisType.Auto,) * len(names))


def lowering_context(function: Callable[..., Any], *arguments: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The lowering context of the convolution in a function."""
    found = []
    monkeypatch.setattr("jconv.primitive.bilinear.is_partitioned", lambda ctx: bool(found.append(ctx)))
    jax.jit(lambda *operands: function(*operands)).lower(*arguments)  # A new function, which JAX has not cached.
    return found[0]


def convolve(x: Any) -> Any:
    return jconv.conv1d({"kernel": KERNEL}, x, padding="same")


def sharded_x() -> jax.Array:
    return jax.device_put(X, NamedSharding(mesh("a"), P("a")))


def inside_shard_map(names: tuple[str, ...], manual: tuple[str, ...]) -> Callable[[Any], Any]:
    """The convolution in `jax.shard_map` over some axes of a mesh."""
    return jax.shard_map(convolve, mesh=mesh(*names), in_specs=P("a"), out_specs=P("a"), axis_names=set(manual))


ATTRIBUTES = (
    "replace",
    "platforms",
    "avals_in",
    "avals_out",
    "module_context.platforms",
    "module_context.replace",
    "module_context.lowering_parameters.for_export",
)
PROGRAMS = ("module_context.axis_context.num_devices", "module_context.axis_context.device_assignment")
INSIDE_SHARD_MAP = ("module_context.axis_context.mesh.shape", "module_context.axis_context.manual_axes")


@pytest.mark.parametrize("attribute", ATTRIBUTES + PROGRAMS)
@pytest.mark.parametrize("devices", [1, 8])
def test_lowering_context_has_attribute(attribute, devices, monkeypatch):
    ctx = lowering_context(convolve, X if devices == 1 else sharded_x(), monkeypatch=monkeypatch)
    attrgetter(attribute)(ctx)


@pytest.mark.parametrize("attribute", ATTRIBUTES + INSIDE_SHARD_MAP)
def test_lowering_context_inside_shard_map_has_attribute(attribute, monkeypatch):
    ctx = lowering_context(inside_shard_map(("a",), ("a",)), X, monkeypatch=monkeypatch)
    attrgetter(attribute)(ctx)


def test_values_and_avals_have_attributes():
    aval = jax.typeof(X)
    for attribute in ("manual_axis_type.varying", "sharding.spec", "sharding.mesh", "sharding.update", "update"):
        attrgetter(attribute)(aval)
    assert hasattr(jax.config, "jax_default_matmul_precision")
    (batch,) = jax.export.symbolic_shape("b")
    assert is_symbolic(batch) and is_symbolic(batch * 2 + 1)


# What the functions return in this version of JAX.
def test_program_of_one_device(monkeypatch):
    ctx = lowering_context(convolve, X, monkeypatch=monkeypatch)
    assert (jax_context.is_partitioned(ctx), jax_context.device_count(ctx)) == (False, 1)
    assert jax_context.platforms(ctx) == ("cpu",)


def test_program_of_eight_devices(monkeypatch):
    ctx = lowering_context(convolve, sharded_x(), monkeypatch=monkeypatch)
    assert (jax_context.is_partitioned(ctx), jax_context.device_count(ctx)) == (True, 8)
    split, devices = jax_context.custom_partitioning_context(ctx)
    assert split.module_context.axis_context.device_assignment == devices == tuple(jax.devices()[:8])


@pytest.mark.parametrize(
    ("names", "manual", "partitioned"), [("a", "a", False), (("a", "b"), ("a", "b"), False), (("a", "b"), ("a",), True)]
)
def test_program_inside_shard_map(names, manual, partitioned, monkeypatch):
    ctx = lowering_context(inside_shard_map(tuple(names), tuple(manual)), X, monkeypatch=monkeypatch)
    assert (jax_context.is_partitioned(ctx), jax_context.device_count(ctx)) == (partitioned, 8)
    assert jax_context.custom_partitioning_context(ctx) is None


# Contexts that lack attributes, as in other versions of JAX.
UNKNOWN_CONTEXTS = {
    "no context": object(),
    "no program": SimpleNamespace(module_context=object()),
    "no devices": SimpleNamespace(module_context=SimpleNamespace(axis_context=SimpleNamespace(count=1))),
    "no number": SimpleNamespace(module_context=SimpleNamespace(axis_context=SimpleNamespace(num_devices=None))),
    "no manual axes": SimpleNamespace(module_context=SimpleNamespace(axis_context=SimpleNamespace(mesh=1, manual=()))),
    "another mesh": SimpleNamespace(
        module_context=SimpleNamespace(axis_context=SimpleNamespace(mesh=SimpleNamespace(), manual_axes=frozenset()))
    ),
}


@pytest.mark.parametrize("name", UNKNOWN_CONTEXTS)
def test_unknown_context_counts_as_partitioned(name):
    ctx = UNKNOWN_CONTEXTS[name]
    assert jax_context.is_partitioned(ctx)
    assert jax_context.device_count(ctx) is None
    assert jax_context.platforms(ctx) == ()
    assert jax_context.custom_partitioning_context(ctx) is None


class Renamed:
    """A lowering context, or a part of one, without one attribute."""

    def __init__(self, original: Any, path: str) -> None:
        self.original, (self.name, *self.rest) = original, path.split(".")

    def __getattr__(self, name: str) -> Any:
        if name != self.name:
            return getattr(self.original, name)
        if not self.rest:
            raise AttributeError(name)
        return Renamed(getattr(self.original, name), ".".join(self.rest))


@pytest.mark.parametrize("path", ["module_context", "module_context.axis_context", *PROGRAMS[:1]])
def test_renamed_attribute_lowers_to_a_contraction(path, monkeypatch):
    """A contraction is safe: any partitioner splits it correctly."""
    of_jax = jax_context.is_partitioned
    monkeypatch.setattr("jconv.primitive.bilinear.is_partitioned", lambda ctx: of_jax(Renamed(ctx, path)))
    monkeypatch.setattr("jconv.primitive.bilinear.custom_partitioning_context", lambda ctx: None)
    lowered = jax.jit(lambda x: convolve(x)).lower(X)
    assert "stablehlo.convolution" not in lowered.as_text() and "dot_general" in lowered.as_text()
    np.testing.assert_allclose(lowered.compile()(X), jconv.reference.conv1d({"kernel": KERNEL}, X, padding="same"))


@pytest.mark.parametrize("path", ["manual_axes", "mesh"])
def test_renamed_attribute_inside_shard_map_counts_as_partitioned(path, monkeypatch):
    ctx = lowering_context(inside_shard_map(("a",), ("a",)), X, monkeypatch=monkeypatch)
    assert jax_context.is_partitioned(Renamed(ctx, f"module_context.axis_context.{path}"))


INTERNALS = re.compile(
    r"jax\._src|jax\.interpreters|jax\.extend|axis_context|module_context|manual_axis_type|lowering_parameters"
)


def test_only_one_module_uses_internals_of_jax():
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
    assert [name for name, text in texts.items() if INTERNALS.search(text)] == ["primitive/jax_context.py"]
