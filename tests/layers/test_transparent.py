"""Wrappers `ChannelsFirst`, `Frozen` and `InDtype`, and `Pick`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv
from jconv import layers as jl
from jconv.layers.base import Layer
from tests.support.layer_checks import arrays_of, check_against_reference, deviation, drawn, single


@dataclass(frozen=True)
class Prefixed(Layer):
    """A wrapper that adds a prefix to the names of arrays."""

    layer: Layer

    def output_shape(self, input_shape: Any) -> Any:
        return self.layer.output_shape(input_shape)

    def param_shapes(self, input_shape: Any) -> dict[str, Any]:
        return {f"layer/{name}": shape for name, shape in self.layer.param_shapes(input_shape).items()}

    def state_shapes(self, input_shape: Any) -> dict[str, Any]:
        return {f"layer/{name}": shape for name, shape in self.layer.state_shapes(input_shape).items()}

    def init(self, key: jax.Array, input_shape: Any) -> Any:
        return tuple({f"layer/{n}": a for n, a in arrays.items()} for arrays in self.layer.init(key, input_shape))

    def apply(self, params: Any, state: Any, x: Any, *, training: bool = False, key: Any = None) -> Any:
        y, after = self.layer.apply(_cut(params), _cut(state), x, training=training, key=key)
        return y, {f"layer/{name}": array for name, array in after.items()}

    def reference(self, params: Any, state: Any, x: Any, *, training: bool = False) -> Any:
        return self.layer.reference(_cut(params), _cut(state), x, training=training)


def _cut(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("layer/"): array for name, array in arrays.items()}


@dataclass(frozen=True)
class DifferenceAndSum(Layer):
    """Two inputs; the outputs are their difference and its sum over the length."""

    inputs: tuple[str, ...] = ("first", "second")

    def output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0]), (input_shape[0][-1],)

    def _jax(self, params: Any, x: Any) -> Any:
        difference = x[0] - x[1]
        return difference, difference.sum(axis=1)

    _numpy = _jax


CHANNELS_FIRST: dict[str, tuple[jl.Layer, Callable[[], Any], Any]] = {
    "conv": (
        jl.Conv1D(5, 3, stride=2, padding="same"),
        lambda: kl.Conv1D(5, 3, 2, "same", data_format="channels_first"),
        (4, 11),
    ),
    "softmax": (
        jl.Conv1D(5, 3, activation="softmax"),
        lambda: kl.Conv1D(5, 3, activation="softmax", data_format="channels_first"),
        (4, 11),
    ),
    "glu": (
        jl.DepthwiseConv1D(4, activation="glu"),
        lambda: kl.DepthwiseConv1D(4, activation="glu", data_format="channels_first"),
        (3, 11),
    ),
    "transpose": (jl.Conv1DTranspose(5, 3), lambda: kl.Conv1DTranspose(5, 3, data_format="channels_first"), (4, 7)),
    "max": (jl.MaxPooling1D(3), lambda: kl.MaxPooling1D(3, data_format="channels_first"), (4, 7)),
    "average": (
        jl.AveragePooling1D(3, 2, "same"),
        lambda: kl.AveragePooling1D(3, 2, "same", data_format="channels_first"),
        (4, 7),
    ),
    "global": (jl.GlobalMaxPooling1D(), lambda: kl.GlobalMaxPooling1D("channels_first"), (4, 7)),
    "global_kept": (
        jl.GlobalAveragePooling1D(keepdims=True),
        lambda: kl.GlobalAveragePooling1D("channels_first", keepdims=True),
        (4, 7),
    ),
    "padding": (jl.ZeroPadding1D((2, 1)), lambda: kl.ZeroPadding1D((2, 1), "channels_first"), (4, 7)),
    "flatten": (jl.Flatten(), lambda: kl.Flatten("channels_first"), (4, 7)),
    "flatten_more": (jl.Flatten(), lambda: kl.Flatten("channels_first"), (4, 7, 3)),
    "flatten_one": (jl.Flatten(), lambda: kl.Flatten("channels_first"), (4,)),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_channels_first_equals_keras(name: str) -> None:
    inner, make, shape = CHANNELS_FIRST[name]
    layer, theirs, x = jl.ChannelsFirst(inner), make(), single(drawn(shape))
    theirs(x)
    params, state = single(arrays_of(layer, shape))
    for weight in theirs.weights:
        weight.assign(params[weight.name])
    y, _ = layer.apply(params, state, x)
    assert deviation(y, theirs(x)) < 2e-6
    assert layer.output_shape(shape) == y.shape[1:]
    check_against_reference(layer, shape)


def test_wrappers_keep_flops_windows_and_initial_arrays() -> None:
    conv = jl.Conv1D(6, 3, stride=2)
    for layer, shape in (
        (jl.ChannelsFirst(conv), (4, 9)),
        (jl.Frozen(conv), (9, 4)),
        (jl.InDtype(conv, "float16"), (9, 4)),
    ):
        assert layer.flops(shape) == conv.flops((9, 4))
        assert layer.window() == (3, 2)
        assert not layer.has_several_inputs
        expected = conv.init(jax.random.key(0), (9, 4))[0]
        params, state = layer.init(jax.random.key(0), shape)
        assert list(params | state) == ["kernel", "bias"]
        assert all(((params | state)[name] == expected[name]).all() for name in expected)
    assert str(jl.Frozen(jl.InDtype(conv, "float16"))) == "Conv1D(6, 3, stride=2) in float16 frozen"
    assert jl.ChannelsFirst(conv).output_shape((4, None)) == (6, None)
    assert jl.Frozen(jl.Add()).has_several_inputs and jl.ChannelsFirst(DifferenceAndSum()).has_several_inputs


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_wrappers_nest_in_any_order(order: tuple[int, ...]) -> None:
    wraps = (jl.ChannelsFirst, jl.Frozen, lambda layer: jl.InDtype(layer, "float64"))
    layer: jl.Layer = jl.Conv1D(5, 3)
    for i in order:
        layer = wraps[i](layer)
    check_against_reference(layer, (4, 11))
    assert list(layer.state_shapes((4, 11))) == ["kernel", "bias"] and layer.param_shapes((4, 11)) == {}


def test_wrapped_layers_may_have_several_inputs_and_outputs() -> None:
    x = drawn(((4, 7), (4, 7)))
    layer = jl.Frozen(jl.InDtype(jl.ChannelsFirst(DifferenceAndSum()), "float32"))
    assert layer.output_shape(((4, 7), (4, 7))) == ((4, 7), (4,))
    (difference, total), _ = layer.apply({}, {}, single(x))
    expected = layer.reference({}, {}, x)
    assert deviation(difference, expected[0]) < 1e-6 and deviation(total, expected[1]) < 1e-6
    assert deviation(expected[1], (x[0] - x[1]).sum(axis=2)) < 1e-13
    nodes = (
        jconv.Node("both", layer, ("a", "b")),
        jconv.Node("total", jl.Pick(1), ("both",)),
        jconv.Node("difference", jl.Frozen(jl.Pick(0)), ("both",)),
    )
    model = jconv.Model(nodes, inputs=("a", "b"), outputs=("total", "difference"))
    inputs = {"a": x[0], "b": x[1]}
    y, _ = model.apply({}, {}, jax.tree.map(np.float32, inputs))
    assert y["total"].shape == (3, 4) and y["difference"].shape == (3, 4, 7)
    assert deviation(y["total"], model.reference({}, {}, inputs)["total"]) < 1e-6
    assert model.output_shapes({"a": (4, None), "b": (4, None)})["difference"] == (4, None)
    assert "Pick(1)" in model.summary({"a": (4, 7), "b": (4, 7)})


def test_channels_first_does_not_transpose_a_mask() -> None:
    layer = jl.ChannelsFirst(DifferenceAndSum())
    assert layer.output_shape(((4, 7), (7,))) == ((4, 7), (4,))


def test_frozen_batch_normalization_uses_moving_averages_in_training_as_in_keras() -> None:
    inner = kl.BatchNormalization(trainable=False)
    x = single(drawn((7, 4)))
    inner(x)
    _, state = single(arrays_of(jl.Frozen(jl.BatchNormalization()), (7, 4)))
    for weight in inner.weights:
        weight.assign(state[weight.name])
    for layer in (jl.Frozen(jl.BatchNormalization()), jl.Frozen(jl.InDtype(jl.BatchNormalization(), "float32"))):
        y, after = layer.apply({}, state, x, training=True)
        assert deviation(y, inner(x, training=True)) < 2e-6
        assert set(after) == set(state) and all((after[name] == state[name]).all() for name in state)
        assert deviation(layer.reference({}, state, x, training=True), y) < 2e-6
    inside = {f"layer/{name}": array for name, array in state.items()}
    y, after = jl.Frozen(Prefixed(jl.BatchNormalization())).apply({}, inside, x, training=True)
    assert deviation(y, inner(x, training=True)) < 2e-6
    assert set(after) == set(inside)
    params = {name: state[name] for name in ("gamma", "beta")}
    averages = {name: state[name] for name in state if name not in params}
    trained, _ = jl.BatchNormalization().apply(params, averages, x, training=True)
    assert deviation(trained, y) > 0.1


def test_frozen_dropout_drops_in_training() -> None:
    x = jnp.ones((50, 50))
    y, _ = jl.Frozen(jl.Dropout(0.5)).apply({}, {}, x, training=True, key=jax.random.key(0))
    assert 0.4 < float((y == 0).mean()) < 0.6
    assert (kl.Dropout(0.5, trainable=False)(np.ones((50, 50)), training=True) == 0).any()


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("inner", "make"),
    [
        (jl.Dense(5, "tanh"), lambda policy: kl.Dense(5, "tanh", dtype=policy)),
        (jl.Conv1D(5, 3), lambda policy: kl.Conv1D(5, 3, dtype=policy)),
        (jl.BatchNormalization(), lambda policy: kl.BatchNormalization(dtype=policy)),
    ],
)
def test_in_dtype_is_a_mixed_policy_of_keras(dtype: str, inner: jl.Layer, make: Callable[[str], Any]) -> None:
    layer, theirs, x = jl.InDtype(inner, dtype), make(f"mixed_{dtype}"), single(drawn((7, 4)))
    theirs(x)
    params, state = single(arrays_of(layer, (7, 4)))
    for weight in theirs.weights:
        weight.assign((params | state)[weight.name])
    y, after = layer.apply(params, state, x)
    expected = theirs(x)
    assert str(y.dtype) == keras.backend.standardize_dtype(expected.dtype) == dtype
    assert deviation(y.astype("float32"), expected.astype("float32")) < (1e-2 if dtype == "bfloat16" else 1e-3)
    assert all(after[name] is state[name] for name in state)
    full, _ = inner.apply(params, state, x)
    assert deviation(y.astype("float32"), full) < 2e-2


def test_in_dtype_keeps_the_state_of_batch_normalization_in_float32() -> None:
    layer = jl.InDtype(jl.BatchNormalization(), "bfloat16")
    params, state = layer.init(jax.random.key(0), (7, 4))
    y, after = layer.apply(params, state, single(drawn((7, 4))), training=True)
    assert y.dtype == jnp.bfloat16
    assert all(array.dtype == jnp.float32 for array in after.values())


def test_in_dtype_keeps_integers() -> None:
    y, _ = jl.InDtype(jl.Flatten(), "float16").apply({}, {}, jnp.ones((2, 3), "int32"))
    assert y.dtype == jnp.int32


def test_gradients_have_the_dtype_of_the_params() -> None:
    layer, x = jl.InDtype(jl.Dense(3), "bfloat16"), single(drawn((4,)))
    params, _ = layer.init(jax.random.key(0), (4,))
    grads = jax.grad(lambda p: layer.apply(p, {}, x)[0].astype("float32").sum())(params)
    assert all(array.dtype == jnp.float32 for array in grads.values())


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: jl.Frozen("Dense"), "Frozen: layer must be a layer, got 'Dense'"),
    (
        lambda: jl.InDtype(jl.Flatten(), "int8"),
        "InDtype: dtype must be one of float32, float64, bfloat16, float16, got 'int8'",
    ),
    (lambda: jl.Pick(-1), "Pick: index must be an integer of at least 0, got -1"),
    (lambda: jl.Pick(True), "Pick: index must be an integer of at least 0, got True"),
    (
        lambda: jl.Pick(2).output_shape(((3,), (4,))),
        "Pick: index=2 needs a layer with as many outputs, got shape ((3,), (4,))",
    ),
    (lambda: jl.Pick(0).output_shape((3, 4)), "Pick: index=0 needs a layer with as many outputs, got shape (3, 4)"),
    (
        lambda: jl.Frozen(jl.Dense(3)).apply({}, {}, np.ones((1, 2))),
        "Frozen needs state with 'bias', 'kernel', got nothing",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()
