"""Layers compute only the samples that the outputs need; results, gradients and state are as if they computed all."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jconv import layers as jl
from jconv import sequential
from jconv.layers.operations.operands import Input, Slice
from jconv.model import Model, Node
from jconv.model.needed import plan
from tests.support.settings import deviation, in_type, quick_jit

EXACT = 1e-13  # the rounding of a few layers in float64
CHANNELS = 3


def index(*key: Any) -> jl.Operation:
    return jl.Operation("get_item", (Input(0), (Slice(), *key)))


small = st.integers(1, 3)
windows = {"kernel_size": st.integers(1, 5), "stride": st.sampled_from([1, 1, 1, 2]), "dilation": small}
paddings = st.sampled_from(["valid", "same", "causal", "full", 1, (2, 0), (0, 3)])
activations = st.sampled_from([None, "tanh", "relu", "softmax", jl.LeakyReLU(0.2), jl.PReLU((1,))])
convolutions = [
    st.builds(
        jl.Conv1D,
        st.just(CHANNELS),
        **windows,
        padding=paddings,
        activation=activations,
        padding_mode=st.sampled_from(["zeros", "zeros", "edge"]),
    ),
    st.builds(jl.DepthwiseConv1D, **windows, padding=paddings, activation=activations),
    st.builds(jl.SeparableConv1D, st.just(CHANNELS), **windows, padding=paddings),
    st.builds(jl.Conv1DTranspose, st.just(CHANNELS), small, stride=small, padding=st.sampled_from(["same", "valid"])),
]
pooling = {"pool_size": small, "stride": small, "padding": st.sampled_from(["same", "valid"])}
others = [
    *(st.builds(kind, **pooling) for kind in (jl.MaxPooling1D, jl.AveragePooling1D)),
    st.builds(jl.UpSampling1D, small),
    st.builds(jl.ZeroPadding1D, st.tuples(*[st.integers(0, 4)] * 2)),
    st.builds(jl.Cropping1D, st.tuples(*[st.integers(0, 3)] * 2)),
    st.builds(jl.Dense, st.just(CHANNELS), activation=activations),
    st.sampled_from(
        [
            *(jl.BatchNormalization(), jl.BatchNormalization(axis=1), jl.LayerNormalization(), jl.Softmax(1)),
            *(
                jl.Activation("gelu"),
                jl.Activation(lambda x: x - x.mean(1, keepdims=True)),
                jl.PReLU(),
                jl.Dropout(0.5),
            ),
            *(jl.LSTM(CHANNELS, return_sequences=True), jl.Frozen(jl.Conv1D(CHANNELS, 3, padding="same"))),
            jl.Operation("multiply", (Input(0), 2.0)),
        ]
    ),
]
slices = st.builds(Slice, st.integers(0, 6) | st.none(), st.integers(-6, -1) | st.none(), st.sampled_from([None, 2]))
drops = [
    st.builds(jl.Cropping1D, st.tuples(*[st.integers(0, 9)] * 2)),
    st.builds(index, slices),
    st.builds(index, st.integers(-3, 3)),
    st.builds(index, slices, st.just(Slice(0, 2))),
]
merges = st.sampled_from([jl.Add(), jl.Maximum(), jl.Concatenate()])


@st.composite
def graphs(draw: Any) -> tuple[Model, tuple[int, int]]:
    """A network that drops samples at its end, and perhaps before, with skip connections; and its input's shape."""
    shape = draw(st.integers(20, 40)), CHANNELS
    nodes: list[Node] = []
    shapes = {"x": shape}

    def add(layer: Any, *names: str) -> None:
        try:
            read = tuple(shapes[name] for name in names)
            found = layer.output_shape(read if layer.has_several_inputs else read[0])
        except ValueError:
            assume(False)
        nodes.append(Node(f"node{len(nodes)}", layer, names))
        shapes[nodes[-1].name] = found

    for _ in range(draw(st.integers(1, 5))):
        last = nodes[-1].name if nodes else "x"
        same_shape = [name for name, shape in shapes.items() if shape == shapes[last] and name != last]
        if same_shape and draw(st.booleans()):
            add(draw(merges), last, draw(st.sampled_from(same_shape)))
            if shapes[nodes[-1].name][1] != CHANNELS:
                add(jl.Conv1D(CHANNELS, 1), nodes[-1].name)
        else:
            add(draw(st.one_of(*convolutions, *convolutions, *others)), last)
    add(draw(st.one_of(*drops)), nodes[-1].name)
    read = {name for node in nodes for name in node.inputs}
    return Model(tuple(nodes), ("x",), tuple(node.name for node in nodes if node.name not in read)), shape


def drawn(model: Model, shape: Any, seed: int = 0) -> tuple[Any, Any, Any]:
    """Params, state and an input of two examples."""
    params, state = jax.eval_shape(lambda key: model.init(key, shape), jax.random.key(0))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda a: rng.standard_normal(a.shape) / 2, params)
    state = jax.tree.map(lambda a: rng.uniform(0.5, 2, a.shape), state)
    return params, state, rng.standard_normal((2, *shape))


@given(graphs(), st.booleans())
def test_outputs_gradients_and_state_are_those_of_the_complete_computation(graph: Any, training: bool) -> None:
    model, shape = graph
    params, state, x = drawn(model, shape)

    def run(apply: Any) -> Any:
        def loss(params: Any, x: Any) -> Any:
            y, after = apply(params, state, x, training=training, key=jax.random.key(1))
            return jnp.sin(y).sum(), (y, after)

        return in_type("float64", quick_jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)), params, x)

    def complete(*arguments: Any, **options: Any) -> Any:
        values, after = model.values(*arguments, **options)
        return values[model.outputs[0]], after

    (_, (y, after)), grads = run(model.apply)
    (_, (expected, expected_after)), expected_grads = run(complete)
    assert deviation(y, expected) <= EXACT
    greatest = max(np.abs(grad).max() for grad in jax.tree.leaves(expected_grads))
    for own, other in zip(
        *(jax.tree.leaves(g) for g in ((grads, after), (expected_grads, expected_after))), strict=True
    ):
        assert np.abs(own - other).max(initial=0) <= EXACT * max(greatest, np.abs(other).max(initial=0))
    if not training:
        assert deviation(y, model.reference(params, state, x)) <= 10 * EXACT


CUT = [
    *(jl.Conv1D(CHANNELS, 4, stride=2, padding=padding, dilation=2) for padding in ("same", "causal", "full", (3, 1))),
    *(jl.DepthwiseConv1D(3, padding="same"), jl.SeparableConv1D(4, 3, stride=2, padding="same")),
    *(jl.MaxPooling1D(3, 2, padding="same"), jl.AveragePooling1D(2, 1, padding="same"), jl.MaxPooling1D(2)),
    *(jl.Dense(4, activation="softmax"), jl.BatchNormalization(), jl.LayerNormalization(), jl.PReLU((1,)), jl.ELU()),
    *(jl.Activation("gelu"), jl.Softmax(), jl.ZeroPadding1D((5, 2)), jl.Cropping1D((1, 2)), jl.SpatialDropout1D(0.5)),
    *(index(Slice(2, None, 2)), jl.Operation("tanh"), jl.Frozen(jl.Conv1D(4, 3, padding="same"))),
]


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("layer", CUT, ids=str)
def test_each_kind_of_layer_computes_only_needed_samples(layer: jl.Layer) -> None:
    # The first samples, samples in the middle and the last: with and without padding in their windows.
    for key in (Slice(0, 3), Slice(3, 6), Slice(-2), 4, -1):
        model = sequential([layer, index(key)], names=["layer", "index"])
        params, state, x = drawn(model, (20, CHANNELS))
        y = in_type("float64", quick_jit(lambda *arrays, m=model: m.apply(*arrays)[0]), params, state, x)
        assert deviation(y, model.reference(params, state, x)) <= EXACT
    middle = sequential([layer, index(Slice(3, 6))])
    assert plan_of(middle, (20, CHANNELS))[0].span == (3, 6)


# SpliceAI's blocks: twice batch normalization, activation and convolution, with a skip connection.
def spliceai(blocks: list[tuple[int, int]], channels: int, crop: Any) -> Model:
    nodes = [Node("stem", jl.Conv1D(channels, 1), ("x",))]
    for number, (size, dilation) in enumerate(blocks):
        begin = nodes[-1].name
        for part in range(2):
            name = f"{number}.{part}"
            nodes.append(Node(f"norm{name}", jl.BatchNormalization(), (nodes[-1].name,)))
            nodes.append(Node(f"relu{name}", jl.Activation("relu"), (nodes[-1].name,)))
            conv = jl.Conv1D(channels, size, padding="same", dilation=dilation)
            nodes.append(Node(f"conv{name}", conv, (nodes[-1].name,)))
        both = (begin, nodes[-1].name)
        nodes.append(Node(f"add{number}", jl.Add(), both if number else both[::-1]))
    nodes.append(Node("crop", jl.Cropping1D(crop), (nodes[-1].name,)))
    nodes.append(Node("out", jl.Conv1D(3, 1, activation="softmax"), ("crop",)))
    return Model(tuple(nodes), ("x",), ("out",))


def test_skip_connections_are_cut_to_what_both_branches_need() -> None:
    # Few samples, near the start and near the end.
    for crop in ((3, 30), (30, 3), 18):
        model = spliceai([(3, 1), (5, 4)], 4, crop)
        params, state, x = drawn(model, (40, 4))
        y = in_type("float64", quick_jit(lambda *arrays, m=model: m.apply(*arrays)[0]), params, state, x)
        assert deviation(y, model.reference(params, state, x)) <= EXACT


def test_a_value_is_cut_to_the_samples_that_its_readers_need() -> None:
    before, after = (jl.Conv1D(CHANNELS, 5, padding=padding) for padding in ("causal", (0, 4)))
    nodes = (
        Node("stem", jl.Activation("tanh"), ("x",)),
        Node("before", before, ("stem",)),
        Node("after", after, ("stem",)),
        Node("sum", jl.Add(), ("before", "after")),
        Node("step", index(10), ("sum",)),
    )
    for order in (nodes, (nodes[0], nodes[2], nodes[1], *nodes[3:])):
        model = Model(order, ("x",), ("step",))
        params, state, x = drawn(model, (20, CHANNELS))
        parts = plan(model, {"x": (20, CHANNELS), **model.output_shapes((20, CHANNELS))}, training=False)
        assert parts["stem"].span == (6, 15)
        y = in_type("float64", quick_jit(lambda *arrays, m=model: m.apply(*arrays)[0]), params, state, x)
        assert deviation(y, model.reference(params, state, x)) <= EXACT


def test_each_layer_of_a_cropped_network_computes_fewer_samples() -> None:
    model = spliceai([(3, 1), (5, 4)], 4, crop=18)
    assert model.receptive_field == 37
    shapes = {"x": (40, 4), **model.output_shapes((40, 4))}
    spans = {name: part.span for name, part in plan(model, shapes, training=False).items()}
    lengths = {name: None if span is None else span[1] - span[0] for name, span in spans.items()}
    # A convolution with 5 taps and dilation 4 reads 16 samples more than it returns, with 3 taps 2 more.
    assert [lengths[f"conv{part}"] for part in ("1.1", "1.0", "0.1", "0.0")] == [4, 20, 36, 38]
    assert lengths["add0"] == 36
    assert lengths["stem"] is None
    # In training batch normalization reads every sample.
    assert plan(model, shapes, training=True)["conv1.1"].span == (18, 22)
    assert plan(model, shapes, training=True)["conv1.0"].span is None


def test_convolutions_in_the_jaxpr_have_the_cut_lengths() -> None:
    model = sequential([jl.Conv1D(4, 3, padding="causal")] * 2 + [index(-1)], names=["a", "b", "last"])
    params, state, x = drawn(model, (50, 4))
    program = jax.make_jaxpr(lambda x: model.apply(params, state, x)[0])(x)
    lengths = [e.params["geometry"].length for e in program.eqns if e.primitive.name == "conv1d"]
    assert lengths == [5, 3]
    assert program.out_avals[0].shape == (2, 4)


@pytest.mark.parametrize(
    "layer",
    [
        jl.Conv1D(4, 3, activation=lambda y: y - y.max(axis=1, keepdims=True)),
        jl.Conv1D(4, 3, padding="same", padding_mode="wrap"),
        jl.Conv1D(4, 3, activation=jl.Softmax(1)),
        jl.LayerNormalization(axis=(1, 2)),
        jl.Flatten(),
    ],
)
def test_layers_that_read_every_sample_are_computed_completely(layer: Any) -> None:
    model = sequential([layer, jl.Reshape((-1, 2)), jl.Cropping1D(3)])
    assert plan_of(model, (20, 4))[0].layer is layer
    model = sequential([layer, index(Slice(2, 4))])
    parts = plan_of(model, (20, 4))
    assert parts[0].layer is layer
    assert parts[0].span is None
    assert parts[0].reads == (None,)


def plan_of(model: Model, shape: Any) -> list[Any]:
    parts = plan(model, {"input": shape, **model.output_shapes(shape)}, training=False)
    return [parts[node.name] for node in model.nodes]


def test_a_user_defined_layer_is_computed_completely() -> None:
    class Centered(jl.Conv1D):
        def _jax(self, params: Any, x: Any) -> Any:
            return super()._jax(params, x - x.mean(axis=1, keepdims=True))

    model = sequential([Centered(4, 3), jl.Cropping1D(5)], names=["centered", "crop"])
    params, state, x = drawn(model, (30, 4))
    expected = model.values(params, state, x)[0]["crop"]
    assert (model.apply(params, state, x)[0] == expected).all()


def test_a_model_with_a_symbolic_length_is_exported() -> None:
    model = sequential([jl.Conv1D(4, 3, padding="same"), jl.Cropping1D(5)])
    params, state, x = drawn(model, (30, 4))
    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("2, length, 4", constraints=["length >= 20"]), jnp.float32)
    exported = jax.export.export(jax.jit(lambda x: model.apply(params, state, x)[0]))(shape)
    x = jnp.asarray(x, jnp.float32)
    assert np.abs(exported.call(x) - model.apply(params, state, x)[0]).max() < 1e-5


def test_errors_of_the_layers_are_raised() -> None:
    model = sequential([jl.Conv1D(4, 3), jl.Cropping1D(5)], names=["conv", "crop"])
    params, state, _ = drawn(model, (30, 4))
    with pytest.raises(ValueError, match="node 'crop': Cropping1D: cropping=5 leaves nothing of a length of 10"):
        model.apply(params, state, np.zeros((2, 12, 4)))
    with pytest.raises(ValueError, match=r"node 'conv': .*params\['kernel'\] of shape \(3, 5, 4\)"):
        model.apply(params, state, np.zeros((2, 30, 5)))


@given(graphs(), st.booleans(), st.data())
def test_with_lengths_outputs_gradients_and_lengths_are_those_of_the_complete_computation(
    graph: Any, training: bool, data: Any
) -> None:
    model, shape = graph
    params, state, x = drawn(model, shape)
    lengths = np.array(data.draw(st.tuples(*[st.integers(0, shape[0])] * 2)))
    beyond = np.arange(shape[0]) >= lengths[:, None]
    x[beyond] = np.nan

    def run(parts: bool) -> Any:
        def loss(params: Any, x: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:
                if not parts:
                    patch.setattr("jconv.model.needed.plan", lambda *_: {})
                (y, extent), after = model.apply(
                    params, state, x, training=training, key=jax.random.key(1), lengths=lengths
                )
            return jnp.sin(y).sum(), (y, extent, after)

        return in_type("float64", quick_jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)), params, x)

    try:
        (_, (expected, expected_extent, expected_after)), expected_grads = run(parts=False)
    except ValueError as error:
        with pytest.raises(ValueError, match="length") as raised:
            run(parts=True)
        assert str(raised.value) == str(error)
        return
    (_, (y, extent, after)), grads = run(parts=True)
    assert y.shape == expected.shape
    assert np.array_equal(extent, expected_extent) if extent is not None else expected_extent is None
    assert np.abs(y - expected).max(initial=0) <= EXACT * max(1, np.abs(expected).max(initial=0))
    greatest = max(np.abs(grad).max(initial=0) for grad in jax.tree.leaves(expected_grads))
    for own, other in zip(
        *(jax.tree.leaves(g) for g in ((grads, after), (expected_grads, expected_after))), strict=True
    ):
        assert np.abs(own - other).max(initial=0) <= EXACT * max(greatest, np.abs(other).max(initial=0))


@pytest.mark.parametrize("crop", [(3, 5), 18, (0, 30)])
def test_rows_of_a_cropped_network_equal_each_row_alone(crop: Any) -> None:
    model = spliceai([(3, 1), (5, 4)], 4, crop)
    params, state, x = drawn(model, (60, 4))
    x, lengths = np.concatenate([x, x[::-1]]), np.array([60, 44, 37, 11])
    (y, extent), _ = in_type(
        "float64", quick_jit(lambda *arrays: model.apply(*arrays, lengths=lengths)), params, state, x
    )
    low, high = crop if isinstance(crop, tuple) else (crop, crop)
    assert extent.tolist() == np.maximum(lengths - low - high, 0).tolist()
    for row, length, out_length in zip(range(4), lengths, extent, strict=True):
        assert not y[row, out_length:].any()
        if out_length:
            alone = model.reference(params, state, x[row : row + 1, :length])
            assert deviation(y[row : row + 1, :out_length], alone) <= EXACT


def test_with_lengths_each_layer_computes_fewer_samples() -> None:
    model = spliceai([(3, 1), (5, 4)], 4, crop=18)
    params, state, x = drawn(model, (40, 4))
    program = jax.make_jaxpr(lambda x: model.apply(params, state, x, lengths=np.array([40, 37]))[0][0])(x)
    lengths = [e.params["geometry"].out_length for e in program.eqns if e.primitive.name == "conv1d"]
    assert lengths == [40, 38, 36, 20, 4, 4]
    assert "gather" not in str(program)
