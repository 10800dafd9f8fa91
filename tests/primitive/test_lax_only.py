"""`jconv.lax_only`: programs of JAX's own primitives, with the values and gradients of lax."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.sharding import PartitionSpec

import jconv
import jconv.keras
from jconv import layers as jl
from jconv.inspect.trace import iterate_equations
from tests.support.settings import BOUNDS, chunks, deviation, expected_operations, jax_operations, random_settings
from tests.test_defaults import CALLS, PARAMS, TRANSFORMED, X, model

NWC = ("NWC", "WIO", "NWC")


def primitives_of_jax() -> set[Primitive]:
    """The primitives that modules of JAX define."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "jax"]
    return {value for module in modules for value in list(vars(module).values()) if isinstance(value, Primitive)}


def foreign(function: Callable[..., Any], *arguments: Any) -> set[str]:
    """The primitives in a function, and in the functions that it calls, that are not JAX's own."""
    equations = list(iterate_equations(jax.make_jaxpr(function)(*arguments).jaxpr))
    assert equations
    of_jax = primitives_of_jax()
    return {equation.primitive.name for equation in equations if equation.primitive not in of_jax}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_uses_only_primitives_of_jax(call: Callable[..., Any]) -> None:
    assert foreign(call)
    with jconv.lax_only():
        assert not foreign(call)
        assert not foreign(lambda: call(algorithm="fft"))
    assert foreign(call)


@pytest.mark.parametrize("transform", TRANSFORMED.values(), ids=TRANSFORMED)
def test_transformed_calls_use_only_primitives_of_jax(transform: Callable[..., Any]) -> None:
    function = transform(jconv.conv1d)
    assert foreign(function, PARAMS, X)
    with jconv.lax_only():
        assert not foreign(function, PARAMS, X)


def test_loaded_model_and_its_gradients_use_only_primitives_of_jax(tmp_path: Any) -> None:
    made = model()
    jconv.keras.save(tmp_path / "model.keras", made, *made.init(jax.random.key(0)))
    read, params, state = jconv.keras.load(tmp_path / "model.keras")
    x = jnp.ones((2, 10, 4))

    def loss(params: Any, x: Any) -> jax.Array:
        return (read.apply(params, state, x, training=True, key=jax.random.key(0))[0] ** 2).sum()

    gradient = jax.grad(loss, argnums=(0, 1))
    assert foreign(gradient, params, x)
    expected = jax.jit(gradient)(params, x)
    with jconv.lax_only():
        assert not foreign(gradient, params, x)
        actual = jax.jit(gradient)(params, x)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        # A layer of the model computes in bfloat16.
        np.testing.assert_allclose(a, b, rtol=0, atol=0.02 * max(1e-3, float(np.abs(b).max())))


def test_steps_of_a_stream_use_only_primitives_of_jax() -> None:
    layers = [jl.Conv1D(4, 3, padding="causal"), jl.DepthwiseConv1D(3), jl.Conv1DTranspose(4, 3, stride=2)]
    stacked = jconv.sequential(layers, input_shape=(None, 4))
    params, state = stacked.init(jax.random.key(0))
    stream = stacked.stream_init(params, state, (2,))
    step = partial(stacked.stream_step, params, state, stream)
    assert foreign(step, X)
    with jconv.lax_only():
        assert not foreign(step, X)
        y, _ = step(X)
    np.testing.assert_allclose(y, step(X)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, (0, 0), 1, 1), (3, (2, 1), 1, 1), (1, (4, 0), 2, 4), (2, (1, 5), 3, 2)],
)
def test_values_and_gradients_agree_with_lax(stride: int, padding: tuple[int, int], dilation: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 4 // groups, 8)).astype(np.float32)
    x = rng.standard_normal((2, 20, 4)).astype(np.float32)

    def ours(kernel: Any, x: Any) -> jax.Array:
        options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return jconv.conv1d({"kernel": kernel}, x, **options)

    def of_lax(kernel: Any, x: Any) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride,), [padding], (1,), (dilation,), NWC, feature_group_count=groups
        )

    def with_gradients(function: Callable[..., jax.Array]) -> Any:
        y, pullback = jax.vjp(function, kernel, x)
        second = jax.grad(lambda kernel: (jax.grad(lambda x: (function(kernel, x) ** 3).sum())(x) ** 2).sum())
        return y, pullback(jnp.cos(y)), jax.jvp(function, (kernel, x), (kernel[::-1], x[::-1])), second(kernel)

    with jconv.lax_only():
        actual = jax.tree.leaves(jax.jit(lambda: with_gradients(ours))())
        assert "custom_call" not in jax.jit(lambda: with_gradients(ours)).lower().as_text()
    for a, b in zip(actual, jax.tree.leaves(jax.jit(lambda: with_gradients(of_lax))()), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * float(np.abs(b).max()))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("settings", chunks(random_settings(40, seed=28)))
def test_values_and_gradients_in_every_dtype_agree_with_the_reference(settings: Any) -> None:
    with jconv.lax_only():
        found = jax_operations(settings, algorithms=["auto"])
    for setting, operations in zip(settings, found, strict=True):
        expected = expected_operations(setting)
        for name, value in operations["auto"].items():
            assert deviation(value, expected[name]) < BOUNDS[setting.dtype], (setting, name)


def test_a_compiled_function_is_traced_again() -> None:
    traced: list[set[str]] = []

    @jax.jit
    def function(x: jax.Array) -> jax.Array:
        traced.append(foreign(jconv.conv1d, PARAMS, x))
        return jconv.conv1d(PARAMS, x)

    for _ in range(2):
        function(X)
        with jconv.lax_only():
            function(X)
    assert traced == [{"conv1d"}, set()]


def test_gradients_of_calls_before_the_context_use_only_primitives_of_jax() -> None:
    _, pullback = jax.vjp(jconv.conv1d, PARAMS, X)
    ensemble = {"kernel": jnp.stack([PARAMS["kernel"], 2 * PARAMS["kernel"]])}
    y, pullback_of_ensemble = jax.vjp(jax.vmap(jconv.conv1d), ensemble, X)
    y_bar = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    expected = pullback_of_ensemble(y_bar)
    with jconv.lax_only():
        assert not foreign(pullback, jnp.ones((2, 8, 6)))
        assert not foreign(jax.vmap(pullback), jnp.ones((3, 2, 8, 6)))
        assert not foreign(pullback_of_ensemble, y_bar)
        actual = pullback_of_ensemble(y_bar)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_the_gradient_of_a_replicated_kernel_is_summed_over_the_devices_once() -> None:
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, replicated = PartitionSpec("data"), PartitionSpec()

    def gradient(params: Any, x: jax.Array) -> Any:
        return jax.grad(lambda params: (jconv.conv1d(params, x) ** 2).sum())(params)

    x = jnp.cos(jnp.arange(X.size, dtype=X.dtype)).reshape(X.shape)
    expected = gradient(PARAMS, x)["kernel"]
    with jconv.lax_only():
        sharded = jax.shard_map(gradient, mesh=mesh, in_specs=(replicated, rows), out_specs=replicated)
        actual = jax.jit(sharded)(PARAMS, x)["kernel"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * float(np.abs(expected).max()))


def test_the_context_ends_after_an_error_and_applies_to_one_thread() -> None:
    with pytest.raises(KeyError), jconv.lax_only():
        raise KeyError
    found: dict[str, set[str]] = {}
    with jconv.lax_only():
        thread = threading.Thread(target=lambda: found.update(other=foreign(CALLS["conv1d"])))
        thread.start()
        thread.join()
    assert found == {"other": {"conv1d"}} == {"other": foreign(CALLS["conv1d"])}


@pytest.mark.parametrize("function", [jconv.explain, jconv.tune])
def test_explain_and_tune_raise(function: Callable[..., Any]) -> None:
    with jconv.lax_only(), pytest.raises(ValueError, match=r"call them outside of jconv\.lax_only\(\)$"):
        function(PARAMS, X)


def test_an_unknown_algorithm_raises() -> None:
    with jconv.lax_only(), pytest.raises(ValueError, match=r"^algorithm must be one of auto, fastest, "):
        jconv.conv1d(PARAMS, X, algorithm="fast")
