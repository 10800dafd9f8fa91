"""A streamed network equals the network on the complete sequence."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jconv import Model, Node, sequential
from jconv import layers as jl
from jconv.layers.operations.operands import Input, Slice


def random_arrays(model: Model, seed: int = 0) -> tuple[Any, Any]:
    """Random params and state in float64."""
    rng = np.random.default_rng(seed)
    params, state = jax.eval_shape(model.init, jax.random.key(seed))
    params = jax.tree.map(lambda a: rng.normal(size=a.shape) * 0.5, params)
    return params, jax.tree.map(lambda a: np.abs(rng.normal(size=a.shape)) + 0.1, state)


def streamed(model: Model, params: Any, state: Any, x: Any, chunks: list[int], **options: Any) -> list[Any]:
    """The outputs of each step: for chunks of these lengths, then for the rest of `x` as the last chunk.

    `options` are those of `stream_init`.
    """
    length = jax.tree.leaves(x)[0].shape[1]
    dtype = jax.tree.map(lambda a: a.dtype, x)
    stream = model.stream_init(params, state, (2,), dtype=dtype, **options)
    # Compiling for each chunk length takes less time than running each operation separately.
    step = jax.jit(model.stream_step, static_argnames="last")
    outputs, at = [], 0
    for number in [*chunks, length - sum(chunks)]:
        chunk = jax.tree.map(lambda a, begin=at, end=at + number: a[:, begin:end], x)
        y, stream = step(params, state, stream, chunk, last=at + number == length)
        outputs.append(y)
        at += number
    return outputs


def check(model: Model, x: Any, chunks: list[int], **options: Any) -> None:
    """Checks that the outputs of the stream equal `apply`."""
    with jax.enable_x64(True):
        params, state = random_arrays(model)
        complete, _ = jax.jit(model.apply)(params, state, x)
        outputs = streamed(model, params, state, x, chunks, **options)
        for name in model.outputs:
            wanted = complete if len(model.outputs) == 1 else complete[name]
            found = outputs if len(model.outputs) == 1 else [y[name] for y in outputs]
            ratio = model.output_ratio if len(model.outputs) == 1 else model.output_ratio[name]  # type: ignore[index]
            y = np.concatenate(found, axis=1) if ratio else found[-1]
            assert y.shape == wanted.shape
            np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-14 * max(1.0, float(np.abs(wanted).max())))


def sequence(length: int = 24, channels: int = 4, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(2, length, channels))


STREAMED = {
    "conv": jl.Conv1D(6, 3, padding="causal", dilation=2, activation="relu"),
    "conv_ring": jl.Conv1D(6, 2, padding="causal", dilation=9),
    "conv_valid": jl.Conv1D(6, 5),
    "conv_same": jl.Conv1D(6, 5, padding="same", groups=2),
    "conv_strided": jl.Conv1D(6, 5, stride=3, padding="same"),
    "depthwise": jl.DepthwiseConv1D(4, depth_multiplier=2, padding="causal"),
    "separable": jl.SeparableConv1D(3, 3, padding="same"),
    "transposed": jl.Conv1DTranspose(3, 5, stride=2, padding="same"),
    "transposed_with_gaps": jl.Conv1DTranspose(3, 2, stride=3, padding="same", output_padding=0),
    "max": jl.MaxPooling1D(3, 2, padding="same"),
    "mean": jl.AveragePooling1D(4, 2, padding="same"),
    "mean_valid": jl.AveragePooling1D(3),
    "global_mean": jl.GlobalAveragePooling1D(keepdims=True),
    "global_max": jl.GlobalMaxPooling1D(),
    "padding": jl.ZeroPadding1D((3, 2)),
    "cropping": jl.Cropping1D((1, 4)),
    "upsampling": jl.UpSampling1D(3),
    "batch_norm": jl.BatchNormalization(),
    "layer_norm": jl.LayerNormalization(),
    "dense": jl.Dense(5, activation="tanh"),
    "einsum": jl.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"),
    "prelu": jl.PReLU((1,)),
    "softmax": jl.Softmax(),
    "dropout": jl.Dropout(0.5),
    "lstm": jl.LSTM(3, return_sequences=True),
    "gru": jl.GRU(3),
    "rnn": jl.SimpleRNN(3, return_sequences=True),
    "frozen": jl.Frozen(jl.Conv1D(6, 3, padding="causal")),
    "spectral": jl.SpectralNormalization(jl.Conv1D(6, 3, padding="causal")),
    "in_dtype": jl.InDtype(jl.Conv1D(6, 3, padding="causal"), "float64"),
    "operation": jl.Operation("add", (Input(0), 1.5)),
    "channels": jl.Operation("get_item", (Input(0), (Slice(), Slice(), Slice(1, 3)))),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", STREAMED)
def test_streams_of_each_kind_of_layer_equal_apply(name: str) -> None:
    model = sequential([STREAMED[name]], input_shape=(None, 4))
    check(model, sequence(), [1, 5, 0, 1, 9])
    assert model.latency >= 0 or name == "padding"


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
def test_streams_with_every_form_of_buffers_equal_apply(form: str) -> None:
    layers = [
        jl.ZeroPadding1D((2, 1)),
        jl.Conv1D(4, 2, dilation=3),
        jl.Cropping1D((0, 3)),
        jl.AveragePooling1D(3, 1, padding="same"),
        jl.MaxPooling1D(2),
        jl.Conv1D(4, 3, padding="same"),
    ]
    check(sequential(layers, input_shape=(None, 4)), sequence(), [2, 2, 2, 1, 7], form=form, chunk=2)


@st.composite
def networks(draw: st.DrawFn) -> Model:
    """A few layers in a chain, some with a residual connection."""
    nodes: list[Node] = []
    at = "x"
    for number in range(draw(st.integers(1, 5))):
        padding = draw(st.sampled_from(["causal", "valid", "same"]))
        conv = jl.Conv1D(
            4, draw(st.sampled_from([1, 2, 3, 5])), padding=padding, dilation=draw(st.sampled_from([1, 3]))
        )
        others = [
            jl.DepthwiseConv1D(3, padding=padding),
            jl.MaxPooling1D(2, 1, padding="same"),
            jl.AveragePooling1D(2),
            jl.Conv1DTranspose(4, 3, stride=2, padding="same"),
            jl.GRU(4, return_sequences=True),
            jl.ZeroPadding1D((3, 2)),
            jl.Cropping1D((1, 2)),
            jl.BatchNormalization(),
        ]
        layer = draw(st.sampled_from([conv, conv, conv, *others]))
        name = f"node{number}"
        nodes.append(Node(name, layer, (at,)))
        if isinstance(layer, jl.Conv1D) and padding != "valid" and draw(st.booleans()):
            nodes.append(Node(f"{name}/sum", jl.Add(), (name, at)))
            name = f"{name}/sum"
        at = name
    return Model(tuple(nodes), ("x",), (at,), ((None, 4),))


@settings(max_examples=min(6, settings.default.max_examples))
@given(networks(), st.lists(st.sampled_from([0, 1, 1, 2, 5]), max_size=6), st.sampled_from(["auto", "ring", "shifted"]))
def test_random_networks(model: Model, chunks: list[int], form: str) -> None:
    try:
        model.output_shapes((24, 4))
    except ValueError:
        return
    check(model, sequence(), chunks, form=form)


def wavenet(dilations: tuple[int, ...] = (1, 2, 4, 8), channels: int = 4) -> Model:
    """Gated dilated convolutions with residual sums and skips (van den Oord et al., 2016)."""
    nodes: list[Node] = [Node("in", jl.Conv1D(channels, 2, padding="causal"), ("x",))]
    at, skips = "in", []
    for d in dilations:
        gated = jl.Conv1D(2 * channels, 2, padding="causal", dilation=d, activation="glu")
        nodes += [
            Node(f"gate{d}", gated, (at,)),
            Node(f"skip{d}", jl.Conv1D(channels, 1), (f"gate{d}",)),
            Node(f"out{d}", jl.Conv1D(channels, 1), (f"gate{d}",)),
            Node(f"sum{d}", jl.Add(), (f"out{d}", at)),
        ]
        at = f"sum{d}"
        skips.append(f"skip{d}")
    nodes += [Node("skips", jl.Add(), tuple(skips)), Node("y", jl.Conv1D(2, 1), ("skips",))]
    return Model(tuple(nodes), ("x",), ("y", at), ((None, 1),))


def test_branches_of_a_causal_network_have_no_delay() -> None:
    model = wavenet()
    check(model, sequence(24, 1), [1, 1, 5])
    assert (model.latency, model.receptive_field) == (0, 17)
    assert model.output_ratio == {"y": 1, "sum8": 1}


def test_branches_wait_for_each_other() -> None:
    nodes = (
        Node("near", jl.Conv1D(4, 3, padding="same"), ("x",)),
        Node("far", jl.Conv1D(4, 3, padding="same", dilation=4), ("x",)),
        Node("both", jl.Concatenate(), ("near", "far", "x")),
    )
    model = Model(nodes, ("x",), ("both",), ((None, 4),))
    check(model, sequence(), [1, 0, 6, 1])
    assert (model.latency, model.receptive_field) == (4, 9)
    params, state = random_arrays(model)
    stream = model.stream_init(params, state, (2,))
    _, stream = model.stream_step(params, state, stream, jnp.ones((2, 6, 4)))
    assert [None if a is None else a.shape[1] for a in stream.parts.waiting["both"]] == [3, None, 4]


def test_branches_with_different_padding_at_the_start() -> None:
    nodes = (
        Node("padded", jl.ZeroPadding1D((2, 1)), ("x",)),
        Node("late", jl.Conv1D(4, 3, padding="same"), ("padded",)),
        Node("both", jl.Add(), ("late", "padded")),
    )
    check(Model(nodes, ("x",), ("both",), ((None, 4),)), sequence(), [1, 0, 6, 1])


def test_a_streamed_u_net_equals_apply() -> None:
    nodes = (
        Node("down", jl.Conv1D(4, 4, stride=2, padding="same"), ("x",)),
        Node("deep", jl.Conv1D(4, 3, padding="same", activation="relu"), ("down",)),
        Node("up", jl.Conv1DTranspose(4, 4, stride=2, padding="same"), ("deep",)),
        Node("skip", jl.Concatenate(), ("up", "x")),
        Node("y", jl.Conv1D(1, 3, padding="same"), ("skip",)),
    )
    model = Model(nodes, ("x",), ("y",), ((None, 4),))
    check(model, sequence(), [3, 3, 3, 8])
    # The delay of each output, measured sample by sample.
    params, state = random_arrays(model)
    stream, ready = model.stream_init(params, state, (2,)), 0
    step, late = jax.jit(model.stream_step), []
    for at in range(40):
        y, stream = step(params, state, stream, np.ones((2, 1, 4), np.float32))
        late += [at - (ready + i) for i in range(y.shape[1])]
        ready += y.shape[1]
    assert max(late) == model.latency and model.output_ratio == 1


def test_streams_with_several_inputs_and_lstm_states_equal_apply() -> None:
    nodes = (
        Node("late", jl.Conv1D(4, 3, padding="same"), ("a",)),
        Node("sum", jl.Add(), ("late", "b")),
        Node("lstm", jl.LSTM(3, return_sequences=True, return_state=True), ("sum",)),
        Node("each", jl.Pick(0), ("lstm",)),
        Node("cell", jl.Pick(2), ("lstm",)),
        Node("y", jl.Dense(2), ("cell",)),
    )
    model = Model(nodes, ("a", "b"), ("each", "y"), ((None, 4), (None, 4)))
    check(model, {"a": sequence(), "b": sequence(seed=2)}, [1, 4, 0, 6])
    assert model.output_ratio == {"each": 1, "y": 0} and model.latency == 1


def test_streams_with_masks_equal_apply() -> None:
    nodes = (
        Node("masked", jl.Masking(), ("x",)),
        Node("mask", jl.MaskOf(), ("x",)),
        Node("lstm", jl.LSTM(3, return_sequences=True, inputs=("sequence", "mask")), ("masked", "mask")),
        Node("mean", jl.GlobalAveragePooling1D(inputs=("sequence", "mask")), ("lstm", "mask")),
    )
    x = sequence()
    x[0, 3:9] = 0
    x[1, :2] = 0
    check(Model(nodes, ("x",), ("lstm", "mean"), ((None, 4),)), x, [1, 4, 6])


def test_streams_of_embedded_integers_equal_apply() -> None:
    model = sequential([jl.Embedding(10, 4), jl.Conv1D(3, 3, padding="causal")], input_shape=(None,))
    check(model, np.random.default_rng(0).integers(0, 10, (2, 24)), [1, 4, 6])


def up(kernel_size: int, stride: int) -> jl.Layer:
    return jl.Conv1DTranspose(2, kernel_size, stride=stride, padding="same")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("layers", "latency"),
    [
        ([jl.UpSampling1D(3), jl.MaxPooling1D(2, 4), jl.UpSampling1D(2), up(5, 4)], Fraction(1, 3)),
        ([jl.MaxPooling1D(2, 4), up(3, 3), jl.UpSampling1D(2), up(5, 2)], Fraction(4, 3)),
        ([jl.MaxPooling1D(3), jl.UpSampling1D(2), jl.GlobalAveragePooling1D()], Fraction(2)),
    ],
)
def test_latency_is_the_largest_delay_of_an_output(layers: list[jl.Layer], latency: Fraction) -> None:
    model = sequential(layers, input_shape=(None, 2))
    assert model.latency == latency
    # Measured sample by sample, for the sequence that the mean summarizes.
    timed = sequential([layer for layer in layers if layer.output_timing() is not None], input_shape=(None, 2))
    params, state = timed.init(jax.random.key(0))
    stream, count, late = timed.stream_init(params, state, (1,)), 0, []
    for at in range(60):
        chunk = jax.ShapeDtypeStruct((1, 1, 2), jnp.float32)
        y, stream = jax.eval_shape(lambda s, x: timed.stream_step(params, state, s, x), stream, chunk)
        late += [at - (count + i) / timed.output_ratio for i in range(y.shape[1])]
        count += y.shape[1]
    assert max(late) == latency


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("layer", [jl.Conv1D(2, 3, padding="causal"), jl.Dense(2), jl.ZeroPadding1D(1), jl.GRU(2)])
def test_a_step_after_the_last_is_an_error(layer: jl.Layer) -> None:
    model = sequential([layer], input_shape=(None, 4))
    params, state = model.init(jax.random.key(0))
    x = jnp.ones((2, 1, 4))
    _, ended = model.stream_step(params, state, model.stream_init(params, state, (2,)), x, last=True)
    with pytest.raises(ValueError, match="the stream has ended"):
        model.stream_step(params, state, ended, x)


def test_gradients_of_a_stream_equal_apply() -> None:
    with jax.enable_x64(True):
        model = sequential([jl.Conv1D(3, 3, padding="same"), jl.GRU(3, return_sequences=True)], input_shape=(None, 4))
        params, state = random_arrays(model)
        x = sequence(10)

        def loss(params: Any) -> jax.Array:
            return (jnp.concatenate(streamed(model, params, state, x, [2, 1, 4]), 1) ** 2).sum()

        found = jax.jit(jax.grad(loss))(params)
        wanted = jax.jit(jax.grad(lambda p: (model.apply(p, state, x)[0] ** 2).sum()))(params)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * max(1.0, float(jnp.abs(b).max())))


def test_equal_maxima_share_the_gradient() -> None:
    with jax.enable_x64(True):
        model = sequential([jl.GlobalMaxPooling1D()], input_shape=(None, 2))
        x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 9, 2)) * 1.5)
        found = jax.grad(lambda x: streamed(model, {}, {}, x, [1, 2, 1])[-1].sum())(x)
        np.testing.assert_allclose(found, jax.grad(lambda x: model.apply({}, {}, x)[0].sum())(x), rtol=1e-15)


def test_a_scan_of_steps_equals_apply() -> None:
    model = wavenet()
    params, state = model.init(jax.random.key(0))
    x = jnp.asarray(sequence(24, 1), jnp.float32)
    stream = model.stream_init(params, state, (2,))

    def step(stream: Any, sample: jax.Array) -> Any:
        y, stream = model.stream_step(params, state, stream, sample[:, None])
        return stream, y["y"][:, 0]

    _, y = jax.lax.scan(step, stream, jnp.moveaxis(x, 1, 0))
    expected = model.apply(params, state, x)[0]["y"]
    np.testing.assert_allclose(jnp.moveaxis(y, 0, 1), expected, rtol=0, atol=1e-6 * float(jnp.abs(expected).max()))


def test_16_bit_floats_have_recurrent_states_in_float32() -> None:
    model = sequential([jl.InDtype(jl.LSTM(3, return_sequences=True), "bfloat16")], input_shape=(None, 4))
    params, state = model.init(jax.random.key(0))
    x = jnp.asarray(sequence(), jnp.float32)
    stream = model.stream_init(params, state, (2,))
    assert {a.dtype for a in jax.tree.leaves(stream)} == {jnp.dtype("float32")}
    y = jnp.concatenate(streamed(model, params, state, x, [1, 1, 9]), axis=1)
    np.testing.assert_array_equal(y, model.apply(params, state, x)[0])


def test_fractional_output_ratios() -> None:
    layers = [jl.UpSampling1D(2), jl.Conv1D(4, 3, stride=3, padding="same"), jl.Conv1DTranspose(4, 4, stride=3)]
    model = sequential(layers, input_shape=(None, 4))
    assert model.output_ratio == Fraction(2, 1)
    check(model, sequence(), [1, 2, 3])
    assert sequential([jl.MaxPooling1D(3)], input_shape=(None, 4)).output_ratio == Fraction(1, 3)


NOT_STREAMABLE = {
    "Bidirectional": jl.Bidirectional(jl.LSTM(3, return_sequences=True)),
    "Flatten": jl.Flatten(),
    "GroupNormalization": jl.GroupNormalization(2),
    "AdaptiveMaxPooling1D": jl.AdaptiveMaxPooling1D(3),
    "LayerNormalization": jl.LayerNormalization(axis=(1, 2)),
    "BatchNormalization": jl.BatchNormalization(axis=1),
    "PReLU": jl.PReLU(),
    "Softmax": jl.Softmax(axis=1),
    "Reshape": jl.Reshape((-1, 2)),
    "LSTM": jl.LSTM(3, go_backwards=True),
    "Rescaling": jl.Rescaling(tuple((float(i),) for i in range(24))),
    "x[:, 1:]": jl.Operation("get_item", (Input(0), (Slice(), Slice(1)))),
    "softmax": jl.ChannelsFirst(jl.Conv1D(3, 3, activation="softmax")),
}


@pytest.mark.parametrize("name", NOT_STREAMABLE)
def test_layers_that_cannot_be_streamed_are_errors(name: str) -> None:
    model = sequential([NOT_STREAMABLE[name]], names=["it"], input_shape=(24, 4))
    params, state = model.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"node 'it': .*cannot be computed a chunk at a time") as error:
        model.stream_init(params, state, (2,))
    assert name in str(error.value) and "\n" not in str(error.value)


def test_a_sequence_merged_with_a_value_of_all_samples_is_an_error() -> None:
    nodes = (Node("mean", jl.GlobalAveragePooling1D(), ("x",)), Node("scaled", jl.Multiply(), ("x", "mean")))
    model = Model(nodes, ("x",), ("scaled",), ((None, 4),))
    with pytest.raises(ValueError, match=r"node 'scaled': .* it reads a sequence and a value without a length"):
        model.stream_init({}, {}, (2,))


@pytest.mark.parametrize(
    "layer",
    [
        jl.Concatenate(),
        jl.Operation("concatenate", ((Input(0), Input(1)),), (("axis", -1),)),
        jl.Softmax(inputs=("x", "mask")),
    ],
    ids=str,
)
def test_layers_along_the_last_axis_need_channels(layer: jl.Layer) -> None:
    model = Model((Node("y", layer, ("a", "b")),), ("a", "b"), ("y",), ((None,), (None,)))
    with pytest.raises(ValueError, match=r"needs chunks of shape \(batch, samples, channels\), got 2 axes"):
        model.stream_init({}, {}, (2,))


@pytest.mark.parametrize("axis", [("expand_dims", (Input(0), -1)), ("get_item", (Input(0), (..., None)))], ids=str)
def test_samples_without_channels_are_streamed(axis: tuple[str, Any]) -> None:
    layers = [jl.Operation("multiply", (Input(0), 0.5)), jl.Activation("tanh"), jl.Rescaling(2.0), jl.Dropout(0.5)]
    layers += [jl.Operation(*axis), jl.Conv1D(2, 3, padding="causal")]
    check(sequential(layers, input_shape=(None,)), np.random.default_rng(0).normal(size=(2, 12)), [1, 4, 0, 5])


def test_states_of_a_layer_on_a_value_of_all_samples_are_values_of_all_samples() -> None:
    nodes = (
        Node("mean", jl.GlobalAveragePooling1D(), ("x",)),
        Node("repeated", jl.RepeatVector(3), ("mean",)),
        Node("gru", jl.GRU(2, return_sequences=True, return_state=True), ("repeated",)),
        Node("state", jl.Pick(1), ("gru",)),
    )
    model = Model(nodes, ("x",), ("state",), ((None, 4),))
    check(model, np.random.default_rng(0).normal(size=(2, 12, 4)), [1, 4])


def small() -> tuple[Model, Any, Any]:
    model = sequential([jl.Conv1D(3, 3, padding="causal")], input_shape=(None, 4))
    return model, *model.init(jax.random.key(0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p, s: m.stream_init(p, s, (2, 3)), r"batch_shape must be the one batch axis"),
        (lambda m, p, s: m.stream_init(p, s, (2,), form="round"), "form must be one of auto, shifted, ring"),
        (lambda m, p, s: m.stream_init({"other": {}}, s, (2,)), "params has 'other'; the model's nodes are 'conv1d'"),
        (
            lambda m, p, s: m.stream_step(p, s, m.stream_init(p, s, (2,)), jnp.ones((2, 3, 5))),
            r"node 'conv1d': Conv1D: chunk must be of shape \(2, samples, 4\), got \(2, 3, 5\)",
        ),
    ],
)
def test_invalid_arguments_are_errors(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(*small())


def test_inputs_that_end_at_different_samples_are_an_error() -> None:
    model = Model((Node("sum", jl.Add(), ("a", "b")),), ("a", "b"), ("sum",), ((None, 4), (None, 4)))
    stream = model.stream_init({}, {}, (2,))
    with pytest.raises(ValueError, match="inputs must end together, got 3, 2 remaining samples"):
        model.stream_step({}, {}, stream, {"a": jnp.ones((2, 3, 4)), "b": jnp.ones((2, 2, 4))}, last=True)


def test_merging_sequences_with_different_ratios_is_an_error() -> None:
    nodes = (Node("half", jl.MaxPooling1D(2), ("x",)), Node("sum", jl.Add(), ("half", "x")))
    model = Model(nodes, ("x",), ("sum",), ((None, 4),))
    with pytest.raises(ValueError, match="node 'sum': its inputs must have the same rate, got 1/2, 1 samples"):
        model.stream_init({}, {}, (2,))


@pytest.mark.parametrize(
    "layer",
    [
        jl.AveragePooling1D(3, padding="same"),
        jl.Conv1DTranspose(2, 3),
        jl.GlobalAveragePooling1D(),
        jl.GlobalMaxPooling1D(),
        jl.LSTM(3),
        jl.SeparableConv1D(2, 3, padding="causal"),
    ],
)
def test_a_stream_can_be_donated_to_its_first_step(layer: jl.Layer) -> None:
    """The stream contains no array twice, which could not be donated."""
    model = sequential([layer], input_shape=(None, 3))
    params, state = model.init(jax.random.key(0))
    step = jax.jit(lambda stream, x: model.stream_step(params, state, stream, x), donate_argnums=0)
    y, _ = step(model.stream_init(params, state, (2,)), jnp.ones((2, 4, 3)))
    assert y.shape[0] == 2
