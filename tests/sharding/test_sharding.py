"""Values and gradients on eight simulated devices equal the unsharded ones, for all shardings of the operands.

`python -m benchmarks.sharding` runs every layout. These tests run a fixed random sample of the layouts for each mesh
and geometry, and cases that the command does not contain.
"""

from __future__ import annotations

import random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from benchmarks import sharding
from jconv.algorithms import ALGORITHMS
from tests.support.settings import algorithms_for

KINDS = {"automatic": AxisType.Auto, "explicit": AxisType.Explicit}
SAMPLE_SIZE = 2
"""Layouts per mesh, kind and geometry."""


def close(actual: Any, expected: Any, tolerance: float = sharding.TOLERANCE) -> None:
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.shape == e.shape
        assert np.abs(np.asarray(a) - np.asarray(e)).max() <= tolerance * np.abs(np.asarray(e)).max()


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("geometry", sharding.GEOMETRIES)
@pytest.mark.parametrize("mesh", sharding.MESHES)
@pytest.mark.parametrize("kind", KINDS)
def test_sharded_values_and_gradients_equal_unsharded(kind: str, mesh: str, geometry: str) -> None:
    g = sharding.GEOMETRIES[geometry]
    on = sharding.make_mesh(mesh, KINDS[kind])
    every = list(sharding.layouts(g, on))
    sample = random.Random(f"{kind}{mesh}{geometry}").sample(every, min(SAMPLE_SIZE, len(every)))
    for n, layout in enumerate(sample):
        algorithm = algorithms_for(kind, mesh, geometry)[0] if n % 2 else "auto"
        operation = sharding.jconv_operation(g, algorithm)
        assert sharding.verdict(operation, g, on, layout) == "right", (layout, algorithm)


def test_wrong_results_are_detected() -> None:
    """The verdict of the sweep on an operation with doubled outputs."""
    g = sharding.GEOMETRIES["depthwise"]
    layout = sharding.Layout(P("a", None, None), P(None, None, None))
    on = sharding.make_mesh("4x2")
    assert sharding.verdict(sharding.jconv_operation(g), g, on, layout) == "right"

    def doubled(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return sharding.jconv_operation(g)(x, 2 * kernel)

    assert sharding.verdict(doubled, g, on, layout).startswith("wrong: y by 1")


def test_no_partitioned_program_contains_a_bare_convolution() -> None:
    on = sharding.make_mesh("8")
    for geometry in sharding.GEOMETRIES.values():
        for algorithm in ["auto", *ALGORITHMS]:
            placed = [jax.device_put(o, NamedSharding(on, P())) for o in sharding.operands(geometry)]
            operations = sharding.value_and_gradients(sharding.jconv_operation(geometry, algorithm))
            assert "stablehlo.convolution" not in jax.jit(operations).lower(*placed).as_text()


LAYOUTS_BY_HAND = {
    # in_specs of x and kernel, out_specs of y, mesh axes to sum y over
    "batch": (P("a"), P(), P("a"), None),
    "batch over two axes": (P(("a", "b")), P(), P(("a", "b")), None),
    "batch and out channels": (P("a"), P(None, None, "b"), P("a", None, "b"), None),
    "batch and in channels": (P("a", None, "b"), P(None, "b"), P("a"), "b"),
}


CASES_BY_HAND = [
    (geometry, layout)
    for layout in LAYOUTS_BY_HAND
    for geometry in ("dense", "strided", "depthwise")
    # a device would have channels of several groups
    if not ("channels" in layout and geometry == "depthwise")
]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(("geometry", "layout"), CASES_BY_HAND)
def test_gradients_of_shard_map_equal_unsharded(geometry: str, layout: str, checked: bool) -> None:
    g = sharding.GEOMETRIES[geometry]
    x_spec, kernel_spec, y_spec, summed = LAYOUTS_BY_HAND[layout]
    for algorithm in ["auto", *algorithms_for(geometry, layout)]:
        local = summed_over(summed, sharding.jconv_operation(g, algorithm))
        sharded = jax.shard_map(
            local, mesh=sharding.make_mesh("4x2"), in_specs=(x_spec, kernel_spec), out_specs=y_spec, check_vma=checked
        )
        operations = jax.jit(sharding.value_and_gradients(sharded))(*sharding.operands(g))
        close(operations, sharding.expected_results(tuple(g.items())))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("geometry", "layout"), CASES_BY_HAND)
def test_gradients_inside_shard_map_equal_unsharded(geometry: str, layout: str) -> None:
    """With checks, JAX sums a replicated operand's cotangent over the devices, and so must the primitives."""
    g = sharding.GEOMETRIES[geometry]
    x_spec, kernel_spec, _, summed = LAYOUTS_BY_HAND[layout]
    specs = (x_spec, kernel_spec)
    for algorithm in ["auto", *algorithms_for(geometry, layout)]:
        local = summed_over(summed, sharding.jconv_operation(g, algorithm))
        # The cotangent of y is cos(y), as in the expected operations.
        inside = jax.grad(lambda x, kernel, local=local: jnp.sum(jnp.sin(local(x, kernel))), (0, 1))
        sharded = jax.shard_map(inside, mesh=sharding.make_mesh("4x2"), in_specs=specs, out_specs=specs)
        close(jax.jit(sharded)(*sharding.operands(g)), sharding.expected_results(tuple(g.items()))[1:])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("geometry", ["dense", "strided", "depthwise"])
def test_gradients_inside_unchecked_shard_map_are_per_device(geometry: str) -> None:
    """Without checks the caller sums, as for any JAX function."""
    g = sharding.GEOMETRIES[geometry]
    for algorithm in ["auto", *algorithms_for(geometry)]:
        operation = sharding.jconv_operation(g, algorithm)

        def inside(x: jax.Array, kernel: jax.Array, operation: sharding.Operation = operation) -> Any:
            x_bar, kernel_bar = jax.grad(lambda *o: jnp.sum(jnp.sin(operation(*o))), (0, 1))(x, kernel)
            return x_bar, jax.lax.psum(kernel_bar, "a")

        mesh = sharding.make_mesh("8")
        sharded = jax.shard_map(inside, mesh=mesh, in_specs=(P("a"), P()), out_specs=(P("a"), P()), check_vma=False)
        close(jax.jit(sharded)(*sharding.operands(g)), sharding.expected_results(tuple(g.items()))[1:])


def summed_over(axis: str | None, operation: sharding.Operation) -> sharding.Operation:
    return (lambda x, kernel: jax.lax.psum(operation(x, kernel), axis)) if axis else operation


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("geometry", ["dense", "4 groups", "depthwise strided"])
def test_shard_map_over_one_axis_with_the_other_partitioned(geometry: str, kind: str) -> None:
    g = sharding.GEOMETRIES[geometry]
    on = sharding.make_mesh("4x2", KINDS[kind])
    x, kernel = sharding.operands(g)
    with jax.set_mesh(on):
        placed = (
            jax.device_put(x, NamedSharding(on, P("a", None, "b"))),
            jax.device_put(kernel, NamedSharding(on, P(None, None, "b"))),
        )
        some = jax.shard_map(
            sharding.jconv_operation(g, "lax"), in_specs=(P("a"), P()), out_specs=P("a"), axis_names={"a"}
        )
        operations = jax.jit(sharding.value_and_gradients(some))(*placed)
    close(operations, sharding.expected_results(tuple(g.items())))


@pytest.mark.parametrize("kind", KINDS)
def test_per_example_gradients_of_a_sharded_batch_equal_unsharded(kind: str) -> None:
    on = sharding.make_mesh("4x2", KINDS[kind])
    g = sharding.GEOMETRIES["dense"]
    x, kernel = sharding.operands(g)

    def per_example(operation: sharding.Operation) -> sharding.Operation:
        gradient = jax.grad(lambda kernel, x: jnp.sum(jnp.sin(operation(x[None], kernel))))
        return jax.jit(jax.vmap(gradient, (None, 0)))

    expected = per_example(sharding.lax_operation(g))(kernel, x)
    with jax.set_mesh(on):
        actual = per_example(sharding.jconv_operation(g))(kernel, jax.device_put(x, NamedSharding(on, P("a"))))
    close([actual], [expected])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_under_vmap_and_scan_equals_unsharded(kind: str) -> None:
    """Ensembles, residual sums and loops; the batch is sharded over one mesh axis, out channels over the other."""
    on = sharding.make_mesh("4x2", KINDS[kind])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 20, 8), np.float32)
    params = {
        "kernel": rng.standard_normal((3, 3, 8, 8), np.float32),
        "bias": rng.standard_normal((3, 8), np.float32),
    }

    def loss(params: Any, x: jax.Array) -> jax.Array:
        y = x + jconv.conv1d(params, x, padding="same")
        return jnp.mean(jnp.sin(y + jconv.conv1d(params, y, padding="causal", dilation=2)))

    def steps(params: Any, x: jax.Array) -> Any:
        def step(params: Any, _: Any) -> Any:
            value, gradient = jax.vmap(jax.value_and_grad(loss), (0, None))(params, x)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient), value

        return jax.lax.scan(step, params, None, length=2)

    expected = jax.jit(steps)(params, x)
    with jax.set_mesh(on):
        specs = {"kernel": P(None, None, None, "b"), "bias": P(None, "b")}
        placed = {name: jax.device_put(params[name], NamedSharding(on, specs[name])) for name in params}
        x_placed = jax.device_put(x, NamedSharding(on, P("a")))
        if kind == "explicit":
            # the residual sum needs the same sharding for x and y
            placed = jax.device_put(params, NamedSharding(on, P()))
        actual = jax.jit(steps)(placed, x_placed)
    close(actual, expected)


def test_results_on_explicit_meshes_keep_the_shardings() -> None:
    on = sharding.make_mesh("4x2", AxisType.Explicit)
    x, kernel = sharding.operands(sharding.GEOMETRIES["dense"])
    with jax.set_mesh(on):
        x = jax.device_put(x, NamedSharding(on, P("a", None, "b")))
        kernel = jax.device_put(kernel, NamedSharding(on, P(None, None, "b")))
        y, pull = jax.vjp(lambda x, k: jconv.conv1d({"kernel": k}, x), x, kernel)
        x_bar, kernel_bar = pull(y)
        assert jax.typeof(y).sharding.spec == P("a", None, "b")
        assert jax.typeof(x_bar).sharding.spec == jax.typeof(x).sharding.spec
        assert jax.typeof(kernel_bar).sharding.spec == jax.typeof(kernel).sharding.spec


def test_a_depthwise_kernel_may_be_sharded_explicitly() -> None:
    on = sharding.make_mesh("8", AxisType.Explicit)
    x, kernel = np.ones((2, 20, 8), np.float32), np.arange(48, dtype=np.float32).reshape(3, 8, 2)
    placed = jax.device_put({"kernel": kernel}, NamedSharding(on, P(None, "a")))
    gradient = jax.grad(lambda p, x: jnp.sum(jconv.depthwise_conv1d(p, x) ** 2))
    close(jax.jit(gradient)(placed, jax.device_put(x, NamedSharding(on, P()))), gradient({"kernel": kernel}, x))


def test_sharded_arrays_outside_jit_stay_sharded() -> None:
    on = sharding.make_mesh("8")
    g = sharding.GEOMETRIES["depthwise"]
    x, kernel = sharding.operands(g)
    placed = jax.device_put(x, NamedSharding(on, P("a")))
    y = sharding.jconv_operation(g)(placed, kernel)
    assert len(y.sharding.device_set) == 8
    close([y], sharding.expected_results(tuple(g.items()))[:1])


def test_a_cast_to_varying_sums_a_replicated_kernels_gradient() -> None:
    """Without the cast the value is correct, but the gradient is not summed over the devices."""
    on = sharding.make_mesh("8")
    g = sharding.GEOMETRIES["dense"]
    x, kernel = sharding.operands(g)

    def gradient(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.grad(lambda k: jnp.sum(jnp.sin(sharding.jconv_operation(g)(x, k))))(kernel)

    text = str(jax.make_jaxpr(jax.shard_map(gradient, mesh=on, in_specs=(P("a"), P()), out_specs=P()))(x, kernel))
    assert "pcast" in text or "pvary" in text
    assert "psum" in text
