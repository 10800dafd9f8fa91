"""On CPUs, a value that several layers read in parts is computed once."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from jconv import layers as jl
from jconv.model import Model, Node
from jconv.primitive.materialize import materialize

BLOCKS = 6


def residual() -> Model:
    nodes = [Node("stem", jl.Conv1D(4, 1), ("x",))]
    last = "stem"
    for i in range(BLOCKS):
        nodes += [
            Node(f"norm{i}", jl.BatchNormalization(), (last,)),
            Node(f"conv{i}", jl.Conv1D(4, 3, padding="same"), (f"norm{i}",)),
            Node(f"sum{i}", jl.Add(), (last, f"conv{i}")),
        ]
        last = f"sum{i}"
    nodes.append(Node("crop", jl.Cropping1D(20), (last,)))
    return Model(tuple(nodes), ("x",), ("crop",), ((50, 4),))


@pytest.fixture(scope="module")
def initialized() -> Any:
    model = residual()
    params, state = model.init(jax.random.key(0))
    return model, params, state, jax.random.normal(jax.random.key(1), (8, 50, 4))


def primitives(function: Any, *arguments: Any) -> list[str]:
    return [equation.primitive.name for equation in jax.make_jaxpr(function)(*arguments).eqns]


def test_a_sum_is_not_fused_with_all_previous_sums(initialized: Any) -> None:
    model, *arrays = initialized

    def most_arrays(program: Any) -> int:
        """The largest number of arrays with a batch axis that one fused loop reads."""
        fused = re.findall(r"fused_computation[^ ]* \((.*?)\) ->", program)
        return max(len(re.findall(r"f32\[8,\d+,4\]", parameters)) for parameters in fused)

    program = jax.jit(lambda *a: model.apply(*a)[0]).lower(*arrays).compile().as_text()
    assert most_arrays(program) <= 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jconv.model.graph.materialize", lambda x: x)
        before = jax.jit(lambda *a: model.apply(*a)[0]).lower(*arrays).compile().as_text()
    assert most_arrays(before) >= BLOCKS


def test_only_values_read_in_parts_are_materialized(initialized: Any) -> None:
    model, *arrays = initialized
    assert primitives(lambda *a: model.apply(*a)[0], *arrays).count("materialize") == BLOCKS
    lengths = jnp.full(8, 45)
    assert primitives(lambda *a: model.apply(*a, lengths=lengths)[0][0], *arrays).count("materialize") == BLOCKS
    assert "materialize" not in primitives(lambda *a: model.values(*a)[0], *arrays)
    with jconv.lax_only():
        assert "materialize" not in primitives(lambda *a: model.apply(*a)[0], *arrays)


@pytest.mark.slow
def test_materialize_changes_no_value_or_derivative(initialized: Any) -> None:
    model, params, state, x = initialized

    def loss(params: Any, x: Any) -> Any:
        return jnp.sin(model.apply(params, state, x)[0]).sum()

    def results() -> Any:
        grads = jax.jit(jax.value_and_grad(lambda *a: loss(*a), argnums=(0, 1)))(params, x)
        tangent = jax.jit(lambda *a: jax.jvp(loss, a, a)[1])(params, x)
        hessian = jax.jit(lambda *a: jax.jvp(jax.grad(loss, 1), a, a)[1])(params, x)
        each = jax.jit(jax.vmap(lambda row: loss(params, row[None])))(x)
        return jax.tree.leaves((grads, tangent, hessian, each, model.apply(params, state, x)))

    own = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jconv.model.graph.materialize", lambda x: x)
        expected = results()
    for a, b in zip(own, expected, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()
    assert np.abs(model.apply(params, state, x)[0] - model.reference(params, state, x)).max() < 1e-5


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_materialized_values_on_several_devices(initialized: Any, kind: AxisType) -> None:
    model, params, state, x = initialized
    mesh = jax.make_mesh((8,), ("a",), (kind,))
    expected = model.reference(params, state, x)
    for spec in (P("a"), P()):
        placed = jax.device_put(x, NamedSharding(mesh, spec))
        if kind is AxisType.Explicit:
            with jax.set_mesh(mesh):
                y = jax.jit(lambda x: model.apply(params, state, x)[0])(placed)
            assert np.abs(np.asarray(y) - expected).max() < 1e-5
            continue
        y = jax.jit(lambda x: model.apply(params, state, x)[0])(placed)
        assert np.abs(np.asarray(y) - expected).max() < 1e-5
        grad = jax.jit(jax.grad(lambda x: model.apply(params, state, x)[0].sum()))(placed)
        assert np.isfinite(np.asarray(grad)).all()
    if kind is AxisType.Auto:
        split = jax.shard_map(lambda x: model.apply(params, state, x)[0], mesh=mesh, in_specs=P("a"), out_specs=P("a"))
        assert np.abs(np.asarray(jax.jit(split)(x)) - expected).max() < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool"])
def test_materialize_preserves_the_bits_of_any_dtype(dtype: str) -> None:
    x = jnp.array([0.0, -0.0, np.nan, np.inf, 1.5]).astype(dtype)
    y = jax.jit(materialize)(x)
    assert y.dtype == x.dtype
    assert np.asarray(y).tobytes() == np.asarray(x).tobytes()
    assert np.asarray(materialize(x)).tobytes() == np.asarray(x).tobytes()


def test_a_model_is_exported_for_several_platforms(initialized: Any) -> None:
    model, params, state, x = initialized
    exported = jax.export.export(jax.jit(lambda x: model.apply(params, state, x)[0]), platforms=["cpu", "cuda"])(x)
    assert np.abs(exported.call(x) - model.reference(params, state, x)).max() < 1e-5
