"""Streaming of channels-first networks, in chunks (batch, channels, samples)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import Model, Node, sequential, slots
from jconv import layers as jl
from jconv.layers.operations.operands import Input
from jconv.model.channels_first import length_first

First = jl.ChannelsFirst
LENGTH = 24


def network(shape: Any = (4, None)) -> Model:
    nodes = (
        Node("conv", First(jl.Conv1D(6, 3, padding="causal", dilation=2, activation="relu")), ("x",)),
        Node("norm", jl.BatchNormalization(axis=1), ("conv",)),
        Node("near", jl.InDtype(First(jl.Frozen(jl.DepthwiseConv1D(3, padding="same"))), "float64"), ("norm",)),
        Node("sum", jl.Add(), ("norm", "near")),
        Node("both", jl.Concatenate(axis=1), ("sum", "x")),
        Node("twice", jl.Operation("multiply", (Input(0), 2.0)), ("both",)),
        Node("half", First(jl.MaxPooling1D(2)), ("twice",)),
        Node("up", First(jl.Conv1DTranspose(4, 4, stride=2, padding="same")), ("half",)),
        Node("mean", First(jl.GlobalAveragePooling1D(keepdims=True)), ("up",)),
        Node("mixed", jl.Dense(3), ("mean",)),
        Node("most", First(jl.GlobalMaxPooling1D()), ("up",)),
        Node("along", jl.Permute((2, 1)), ("up",)),
        Node("gru", jl.GRU(3, return_sequences=True), ("along",)),
    )
    return Model(nodes, ("x",), ("up", "mixed", "most", "gru"), (shape,))


def drawn(model: Model) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda a: rng.normal(size=a.shape) * 0.5, params)
    return params, jax.tree.map(lambda a: rng.uniform(0.5, 1, a.shape), state)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
def test_chunks_along_the_last_axis_equal_apply(form: str) -> None:
    model = network()
    x = np.random.default_rng(0).normal(size=(2, 4, LENGTH))
    with jax.enable_x64(True):
        params, state = drawn(model)
        complete, _ = jax.jit(model.apply)(params, state, x)
        stream, at, steps = model.stream_init(params, state, (2,), dtype="float64", form=form, chunk=3), 0, []
        step = jax.jit(model.stream_step, static_argnames="last")
        for number in (1, 3, 0, 5, 3, 12):
            chunk = x[:, :, at : at + number]
            y, stream = step(params, state, stream, chunk, last=at + number == LENGTH)
            steps.append(y)
            at += number
        found = {name: steps[-1][name] for name in model.outputs}
        found |= {name: np.concatenate([y[name] for y in steps], axis) for name, axis in (("up", 2), ("gru", 1))}
    for name in model.outputs:
        assert found[name].shape == complete[name].shape
        np.testing.assert_allclose(
            found[name], complete[name], rtol=0, atol=1e-14 * max(1, np.abs(complete[name]).max())
        )
    assert (model.latency, model.output_ratio["up"]) == (3, 1)  # type: ignore[index]


def test_the_first_layer_that_depends_on_the_layout_decides_it() -> None:
    assert length_first(network((4, LENGTH))).length_last == {"x", "up"}
    layers = [jl.ReLU(), jl.BatchNormalization(axis=1), First(jl.Conv1D(4, 3, padding="causal"))]
    assert length_first(sequential(layers)).length_last == {"input", "channels_first"}
    assert sequential(layers, input_shape=(4, None)).receptive_field == 3
    # An axis of unknown size is the length. Without any information the length is first.
    assert not length_first(sequential([jl.ReLU()], input_shape=(None, 4))).length_last
    assert length_first(sequential([jl.ReLU()], input_shape=(4, None))).length_last == {"input", "re_lu"}
    assert not length_first(sequential([jl.Dense(3), First(jl.Conv1D(4, 3))])).length_last


def test_channels_first_sessions_in_slots_equal_apply() -> None:
    model = sequential([First(jl.Conv1D(3, 3, padding="causal")), jl.LayerNormalization(axis=1)], input_shape=(2, None))
    params, state = model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(2, 2, 8)).astype(np.float32)
    pool = slots.pool(model.stream_init(params, state, (1,), slots=True), 3)
    step, steps = jax.jit(model.stream_step), []
    for at in range(8):
        y, pool = step(params, state, pool, x[:, :, at : at + 1], slots=np.array([2, 0]))
        steps.append(y)
    np.testing.assert_allclose(np.concatenate(steps, 2), jax.jit(model.apply)(params, state, x)[0], rtol=0, atol=1e-6)


NOT_STREAMABLE = {
    "Dense": jl.Dense(3),
    "Conv1D": jl.Conv1D(3, 3),
    "softmax": First(jl.Conv1D(3, 3, activation="softmax")),
    "PReLU": jl.PReLU((2,)),
    "BatchNormalization": jl.BatchNormalization(axis=2),
    "Concatenate": jl.Concatenate(),
    "LSTM": jl.LSTM(3),
    # Its scale belongs to the last axis for any `axis`, as in Keras.
    "RMSNormalization": jl.RMSNormalization(axis=1),
    "Softmax": jl.Softmax(),
    "Flatten": First(jl.Flatten()),
}


@pytest.mark.parametrize("name", NOT_STREAMABLE)
def test_layers_that_mix_samples_are_errors(name: str) -> None:
    reads = ("x", "x") if name == "Concatenate" else ("x",)
    model = Model((Node("it", NOT_STREAMABLE[name], reads),), ("x",), ("it",), ((4, None),))
    with pytest.raises(
        ValueError, match=r"node 'it': .*cannot be computed a chunk at a time: it needs the co"
    ) as error:
        model.stream_init({}, {}, (2,))
    assert name in str(error.value) and "\n" not in str(error.value)


def test_inputs_in_the_wrong_layout_are_errors() -> None:
    model = sequential([First(jl.Conv1D(3, 3))], input_shape=(None, 4))
    with pytest.raises(ValueError, match="it needs the complete length, the first axis of its input"):
        model.stream_init({}, {}, (2,))
    model = sequential([First(jl.Conv1D(3, 3))], input_shape=(4, None))
    params, state = model.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"input 'input' takes chunks of shape \(batch, channels, samples\), got \(4,"):
        model.stream_step(params, state, model.stream_init(params, state, (2,)), jnp.ones((4, 1)))
