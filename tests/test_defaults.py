"""`algorithm="fastest"`, and `default_algorithm`, which changes the meaning of `"auto"` in a context."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
import jconv.keras
from jconv import default_algorithm
from jconv import layers as jl
from jconv.inspect.equation import trace_conv1d
from jconv.inspect.trace import chosen_algorithms, iterate_equations
from jconv.layers.nesting import with_algorithm
from jconv.primitive.bilinear import OPERATION

PARAMS = {"kernel": jnp.ones((3, 4, 6))}
X = jnp.ones((2, 10, 4))
LENGTHS, SEGMENTS = jnp.array([10, 4]), jnp.array([[0] * 6 + [1] * 4, [2] * 3 + [-1] * 7])
SEPARABLE = {"depthwise_kernel": jnp.ones((3, 4, 1)), "pointwise_kernel": jnp.ones((1, 4, 5))}
NWC: dict[str, Any] = {"dimension_numbers": ("NWC", "WIO", "NWC")}
# Each function takes `algorithm=` or no argument.
CALLS: dict[str, Callable[..., Any]] = {
    "conv1d": lambda **how: jconv.conv1d(PARAMS, X, **how),
    "lengths": lambda **how: jconv.conv1d(PARAMS, X, lengths=LENGTHS, **how),
    "strided same lengths": lambda **how: jconv.conv1d(PARAMS, X, lengths=LENGTHS, stride=2, padding="same", **how),
    "segment_ids": lambda **how: jconv.conv1d(PARAMS, X, segment_ids=SEGMENTS, **how),
    "depthwise": lambda **how: jconv.depthwise_conv1d({"kernel": jnp.ones((3, 4, 1))}, X, **how),
    "separable": lambda **how: jconv.separable_conv1d(SEPARABLE, X, **how),
    "transposed": lambda **how: jconv.conv1d_transpose({"kernel": jnp.ones((3, 6, 4))}, X, stride=2, **how),
    "transposed lengths": lambda **how: jconv.conv1d_transpose(
        {"kernel": jnp.ones((3, 6, 4))}, X, lengths=LENGTHS, **how
    ),
    "transposed segment_ids": lambda **how: jconv.conv1d_transpose(
        {"kernel": jnp.ones((3, 6, 4))}, X, padding="same", segment_ids=SEGMENTS, **how
    ),
    "lax": lambda **how: jconv.conv_general_dilated(X, PARAMS["kernel"], (1,), "SAME", **NWC, **how),
    "lax transposed": lambda **how: jconv.conv_general_dilated(X, PARAMS["kernel"], (1,), [(2, 2)], (2,), **NWC, **how),
    "stream": lambda **how: jconv.streaming.step(PARAMS, jconv.streaming.init(PARAMS, (2,), **how), X, **how)[0],
    "transposed stream": lambda **how: _transposed_stream(**how),
}


def _transposed_stream(**how: Any) -> jax.Array:
    params, how = {"kernel": jnp.ones((3, 6, 4))}, {"convolution": jconv.conv1d_transpose, **how}
    return jconv.streaming.step(params, jconv.streaming.init(params, (2,), **how), X, **how)[0]


def algorithms(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """The algorithm options of the convolutions in a function."""
    equations = iterate_equations(jax.make_jaxpr(function)(*arguments).jaxpr)
    return [equation.params["algorithm"] for equation in equations if equation.primitive in OPERATION]


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_uses_the_default_algorithm(call: Callable[..., Any]) -> None:
    assert set(algorithms(call)) == {"auto"}
    assert set(algorithms(lambda: call(algorithm="fastest"))) == {"fastest"}
    with default_algorithm("fastest"):
        assert set(algorithms(call)) == set(algorithms(lambda: call(algorithm="auto"))) == {"fastest"}
        assert set(algorithms(lambda: call(algorithm="lax"))) == {"lax"}
    with pytest.raises(ValueError, match=r"^algorithm must be one of auto, fastest, .*, got 'fast'$"):
        call(algorithm="fast")


def test_default_algorithm_nests_and_ends() -> None:
    with default_algorithm("fastest"):
        with default_algorithm("auto"):
            assert algorithms(CALLS["conv1d"]) == ["auto"]
            with pytest.raises(KeyError), default_algorithm("lax"):
                assert algorithms(CALLS["conv1d"]) == ["lax"]
                raise KeyError
            assert algorithms(CALLS["conv1d"]) == ["auto"]
        assert algorithms(CALLS["conv1d"]) == ["fastest"]
    assert algorithms(CALLS["conv1d"]) == ["auto"]


def test_default_algorithm_is_a_decorator() -> None:
    assert algorithms(default_algorithm("fastest")(CALLS["conv1d"])) == ["fastest"]


@pytest.mark.parametrize("wrong", ["fast", None, 3])
def test_unknown_default_algorithm_raises(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^algorithm must be one of auto, fastest, "), default_algorithm(wrong):
        pass


def test_compiled_function_is_traced_again() -> None:
    traced: list[list[str]] = []

    @jax.jit
    def function(x: jax.Array) -> jax.Array:
        traced.append(algorithms(jconv.conv1d, PARAMS, x))
        return jconv.conv1d(PARAMS, x)

    for _ in range(2):
        function(X)
        with default_algorithm("fastest"):
            function(X)
            # Also inside another compiled function.
            jax.jit(lambda x: function(x) + 1)(X)
    assert traced == [["auto"], ["fastest"]]


TRANSFORMED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "jit": jax.jit,
    "grad": lambda f: jax.grad(lambda p, x: f(p, x).sum(), argnums=(0, 1)),
    "jit of grad": lambda f: jax.jit(jax.grad(lambda p, x: f(p, x).sum(), argnums=(0, 1))),
    "vmap": lambda f: jax.vmap(f, (None, 0)),
    "vmap over both": lambda f: lambda p, x: jax.vmap(f)({"kernel": jnp.stack([p["kernel"]] * 2)}, x),
    "scan": lambda f: lambda p, x: jax.lax.scan(lambda carry, row: (carry, f(p, row)), 0, x)[1],
    "while": lambda f: lambda p, x: jax.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, f(p, x)), (0, f(p, x))),
    "checkpoint": lambda f: jax.grad(lambda p, x: jax.checkpoint(f)(p, x).sum(), argnums=(0, 1)),
    "jvp": lambda f: lambda p, x: jax.jvp(lambda x: f(p, x), (x,), (x,)),
}


@pytest.mark.parametrize("transform", TRANSFORMED.values(), ids=TRANSFORMED)
def test_transformed_functions_use_the_default_algorithm(transform: Callable[..., Any]) -> None:
    function = transform(jconv.conv1d)
    assert set(algorithms(function, PARAMS, X)) == {"auto"}
    with default_algorithm("fastest"):
        assert set(algorithms(function, PARAMS, X)) == {"fastest"}
    assert set(algorithms(function, PARAMS, X)) == {"auto"}


def test_gradients_use_the_algorithm_of_the_call() -> None:
    with default_algorithm("fastest"):
        _, pullback = jax.vjp(jconv.conv1d, PARAMS, X)
    assert algorithms(pullback, jnp.ones((2, 8, 6))) == ["fastest"] * 2


def test_each_thread_has_its_own_default() -> None:
    found: dict[str, list[str]] = {}
    entered, checked = threading.Event(), threading.Event()

    def inside() -> None:
        with default_algorithm("fastest"):
            entered.set()
            checked.wait(60)
            found["inside"] = algorithms(CALLS["conv1d"])

    thread = threading.Thread(target=inside)
    thread.start()
    assert entered.wait(60)
    found["outside"] = algorithms(CALLS["conv1d"])
    checked.set()
    thread.join()
    assert found == {"inside": ["fastest"], "outside": ["auto"]}


def test_explain_and_summary_use_the_default() -> None:
    params = {"kernel": jax.ShapeDtypeStruct((1024, 16, 1), "float32")}
    x = jax.ShapeDtypeStruct((1, 8192, 16), "float32")
    chosen = chosen_algorithms(lambda p, x: jconv.depthwise_conv1d(p, x, algorithm="fastest"), params, x)
    assert chosen != chosen_algorithms(jconv.depthwise_conv1d, params, x)
    network = jconv.sequential([jl.DepthwiseConv1D(1024)], input_shape=(8192, 16))
    with default_algorithm("fastest"):
        assert chosen_algorithms(jconv.depthwise_conv1d, params, x) == chosen
        assert chosen[0][1].algorithm in network.summary(batch=1)
        assert trace_conv1d(PARAMS, X).algorithm == "fastest"
    assert chosen[0][1].algorithm not in network.summary(batch=1)


def test_default_algorithm_has_the_outputs_of_the_explicit_algorithm() -> None:
    rng = np.random.default_rng(0)
    params, x = {"kernel": rng.standard_normal((9, 1, 4))}, rng.standard_normal((64, 4))
    compiled = jax.jit(lambda params, x: jconv.conv1d(params, x, groups=4))
    outside = compiled(params, x)
    with default_algorithm("fft"):
        inside = compiled(params, x)
    for found, algorithm in ((inside, "fft"), (outside, "auto")):
        explicit = jax.jit(partial(jconv.conv1d, groups=4, algorithm=algorithm))
        np.testing.assert_array_equal(found, explicit(params, x))
    assert np.any(inside != outside)


def test_first_use_inside_a_traced_function_does_not_retrace_it() -> None:
    script = """
import jax, jconv
traced = []
@jax.jit
def function(params, x):
    traced.append(1)
    return jconv.conv1d(params, x)
for _ in range(3):
    function({"kernel": jax.numpy.ones((3, 1, 1))}, jax.numpy.ones((9, 1)))
assert len(traced) == 1, traced
"""
    subprocess.run([sys.executable, "-c", script], check=True)


# --- layers, models, files -------------------------------------------------------------------------------------------

LAYERS = {
    "Conv1D": jl.Conv1D(6, 3, algorithm="fastest"),
    "DepthwiseConv1D": jl.DepthwiseConv1D(3, algorithm="fastest"),
    "SeparableConv1D": jl.SeparableConv1D(6, 3, algorithm="fastest"),
    "Conv1DTranspose": jl.Conv1DTranspose(6, 3, algorithm="fastest"),
    "ConvLSTM1D": jl.ConvLSTM1D(2, 3, algorithm="fastest"),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layers_use_their_own_algorithm_or_the_default(layer: Any) -> None:
    shape = (5, 10, 4) if isinstance(layer, jl.ConvLSTM1D) else (10, 4)
    params, state = layer.init(jax.random.key(0), shape)

    def apply(layer: Any) -> Any:
        return algorithms(lambda x: layer.apply(params, state, x)[0], jnp.ones((2, *shape)))

    assert set(apply(layer)) == {"fastest"}
    auto = replace(layer, algorithm="auto")
    assert set(apply(auto)) == {"auto"}
    with default_algorithm("fastest"):
        assert apply(auto) == apply(layer)
    with pytest.raises(ValueError, match=rf"^{type(layer).__name__}: algorithm must be one of auto, fastest, "):
        replace(layer, algorithm="fast")


def model() -> jconv.Model:
    """Convolutions in each kind of layer that contains layers, and one with an algorithm by name."""
    layers = [
        jl.Conv1D(4, 3, padding="same", algorithm="lax"),
        jl.InDtype(jl.Conv1D(4, 3, padding="same"), "bfloat16"),
        jl.Frozen(jl.SpectralNormalization(jl.Conv1D(4, 3, padding="same"))),
        jl.Reshape((5, 2, 4)),
        jl.TimeDistributed(jl.Conv1D(4, 2)),
        jl.Reshape((5, 1, 4)),
        jl.Bidirectional(jl.ConvLSTM1D(2, 1, return_sequences=True)),
    ]
    return jconv.sequential(layers, input_shape=(10, 4))


@pytest.mark.parametrize("slots", [False, True])
def test_streams_of_a_model_use_the_algorithms_of_its_layers(slots: bool) -> None:
    layers = [jl.Conv1D(4, 3, padding="causal", algorithm="fastest"), jl.Conv1DTranspose(4, 3, algorithm="fastest")]
    stacked = jconv.sequential(layers, input_shape=(None, 4))
    params, state = stacked.init(jax.random.key(0))
    stream = stacked.stream_init(params, state, (2,), slots=slots)
    how: Any = {"slots": jnp.arange(2)} if slots else {}
    stepped = algorithms(lambda x: stacked.stream_step(params, state, stream, x, **how)[0], jnp.ones((2, 3, 4)))
    assert stepped == ["fastest"] * 2


def test_load_sets_the_algorithm_of_every_convolution(tmp_path: Any) -> None:
    saved = model()
    params, state = saved.init(jax.random.key(0))
    jconv.keras.save(tmp_path / "model.keras", saved, params, state)
    x = jnp.ones((2, 10, 4))

    def requested(**how: Any) -> list[str]:
        read, params, state = jconv.keras.load(tmp_path / "model.keras", **how)
        return algorithms(lambda x: read.apply(params, state, x)[0], x)

    plain = requested()
    assert set(plain) == {"auto"} and len(plain) >= 6
    assert requested(algorithm="fastest") == ["fastest"] * len(plain)
    with default_algorithm("lax"):
        assert requested(algorithm="fastest") == ["fastest"] * len(plain)
        assert requested() == ["lax"] * len(plain)
    with pytest.raises(ValueError, match=r"^algorithm must be one of auto, fastest, .*, got 'fast'$"):
        jconv.keras.load(tmp_path / "model.keras", algorithm="fast")
    # The loaded model can be saved like any other.
    read, params, state = jconv.keras.load(tmp_path / "model.keras", algorithm="fastest")
    jconv.keras.save(tmp_path / "again.keras", read, params, state)
    assert jconv.keras.load(tmp_path / "again.keras")[0] == jconv.keras.load(tmp_path / "model.keras")[0]


def test_with_algorithm_replaces_only_auto() -> None:
    layer = jl.Conv1D(4, 3, algorithm="lax")
    assert with_algorithm(layer, "fastest") == layer
    nodes = [with_algorithm(node.layer, "fastest") for node in model().nodes]
    found = [field for layer in nodes for field in re.findall(r"algorithm='(\w+)'", repr(layer))]
    assert found == ["lax", *["fastest"] * 4]
