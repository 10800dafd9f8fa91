"""Graphs of layers compared with Keras's functional models; gradients by complex steps; errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

from jconv import layers as jl
from jconv.model import Model, Node, sequential
from jconv.model.summary import receptive_fields

# A residual branch, a shared convolution, a concatenation and a head; and the same in Keras.
GRAPH = Model(
    nodes=(
        Node("stem", jl.Conv1D(4, 5, padding="same", activation="tanh"), ("x",)),
        Node("norm", jl.BatchNormalization(), ("stem",)),
        Node("first", jl.Conv1D(4, 3, padding="causal"), ("norm",), params="shared"),
        Node("second", jl.Conv1D(4, 3, padding="causal"), ("first",), params="shared"),
        Node("add", jl.Add(), ("stem", "second")),
        Node("join", jl.Concatenate(), ("add", "x")),
        Node("pool", jl.MaxPooling1D(2), ("join",)),
        Node("drop", jl.Dropout(0.5), ("pool",)),
        Node("mean", jl.GlobalAveragePooling1D(), ("drop",)),
        Node("head", jl.Dense(3, activation="softmax"), ("mean",)),
    ),
    inputs=("x",),
    outputs=("head",),
)


def keras_graph() -> Any:
    x = keras.Input((12, 2), name="x")
    stem = kl.Conv1D(4, 5, padding="same", activation="tanh", name="stem")(x)
    shared = kl.Conv1D(4, 3, padding="causal", name="shared")
    y = shared(shared(kl.BatchNormalization(name="norm")(stem)))
    y = kl.Concatenate()([kl.Add()([stem, y]), x])
    y = kl.GlobalAveragePooling1D()(kl.Dropout(0.5)(kl.MaxPooling1D(2)(y)))
    return keras.Model(x, kl.Dense(3, activation="softmax", name="head")(y))


def drawn(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def initial(model: Model, shape: Any, seed: int = 1) -> tuple[Any, Any]:
    """Params and state with no zeros, in float64."""
    params, state = jax.eval_shape(lambda key: model.init(key, shape), jax.random.key(0))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda a: rng.standard_normal(a.shape) / 2, params)
    return params, jax.tree.map(lambda a: rng.uniform(0.5, 2, a.shape), state)


def test_graph_equals_keras() -> None:
    theirs = keras_graph()
    params, state = GRAPH.init(jax.random.key(0), (12, 2))
    arrays = {name: params[name] | state.get(name, {}) for name in params}
    for layer in theirs.layers:
        for weight in layer.weights if layer.name in arrays else ():
            value = arrays[layer.name][weight.name]
            weight.assign(value + 0.1 if weight.name == "bias" else value)
            if weight.name == "bias":
                params[layer.name]["bias"] = value + 0.1
    x = np.float32(drawn((5, 12, 2)))
    y, _ = jax.jit(GRAPH.apply)(params, state, x)
    expected = np.asarray(theirs(x))
    assert np.abs(y - expected).max() < 4e-6 * np.abs(expected).max()
    count = sum(a.size for a in jax.tree.leaves((params, state)))
    # Keras's count does not include the seed of Dropout.
    assert count == theirs.count_params()


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("training", [False, True])
def test_gradients_equal_complex_steps_of_the_reference(training: bool) -> None:
    # Without Dropout, whose training has no reference.
    mean = Node("mean", jl.GlobalAveragePooling1D(), ("pool",))
    model = Model((*GRAPH.nodes[:7], mean, GRAPH.nodes[-1]), ("x",), ("head",))
    params, state = initial(model, (12, 2))
    x, weights = drawn((3, 12, 2)), drawn((3, 3), seed=5)

    def loss(params: Any, x: Any) -> jax.Array:
        return (model.apply(params, state, x, training=training)[0] * weights).sum()

    with jax.enable_x64(True):
        y = jax.jit(lambda p: model.apply(p, state, x, training=training)[0])(params)
        grads = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, x)
    expected = model.reference(params, state, x, training=training)
    grads = jax.tree.map(np.asarray, grads)
    assert np.abs(np.asarray(y) - expected).max() < 1e-13
    # Every entry of every array, one complex step each.
    leaves, tree = jax.tree.flatten((params, x))
    greatest = max(np.abs(g).max() for g in jax.tree.leaves(grads))
    for i, grad in enumerate(jax.tree.leaves(grads)):
        for at in np.ndindex(leaves[i].shape):
            perturbed = [leaf.astype(complex) for leaf in leaves]
            perturbed[i][at] += 1e-30j
            stepped, x_stepped = jax.tree.unflatten(tree, perturbed)
            y = model.reference(stepped, state, x_stepped, training=training)
            assert abs((y * weights).sum().imag / 1e-30 - grad[at]) < 1e-11 * greatest


def test_shared_state_is_updated_at_each_use_in_turn() -> None:
    norm = jl.BatchNormalization(momentum=0.5)
    model = Model((Node("a", norm, ("x",), "n"), Node("b", norm, ("a",), "n")), ("x",), ("b",))
    params, state = model.init(jax.random.key(0), (4, 1))
    assert list(params) == list(state) == ["n"]
    x = jnp.asarray(7 + drawn((3, 4, 1)), jnp.float32)
    y, after = model.apply(params, state, x, training=True)
    a, once = norm.apply(params["n"], state["n"], x, training=True)
    b, twice = norm.apply(params["n"], once, a, training=True)
    assert (y == b).all() and (after["n"]["moving_mean"] == twice["moving_mean"]).all()
    assert state["n"]["moving_mean"].tolist() == [0]


def test_values_of_every_node_and_several_outputs_as_a_dict() -> None:
    model = Model(
        (
            Node("a", jl.Conv1D(2, 3), ("x",)),
            Node("b", jl.Dense(2), ("z",)),
            Node("pool", jl.GlobalMaxPooling1D(), ("a",)),
            Node("sum", jl.Add(), ("pool", "b")),
        ),
        inputs=("x", "z"),
        outputs=("sum", "a"),
    )
    params, state = model.init(jax.random.key(0), {"x": (9, 1), "z": (4,)})
    x = {"x": np.float32(drawn((2, 9, 1))), "z": np.float32(drawn((2, 4)))}
    values, _ = model.values(params, state, x)
    y, _ = model.apply(params, state, x)
    assert list(values) == ["a", "b", "pool", "sum"]
    assert list(y) == ["sum", "a"]
    assert (y["sum"] == values["a"].max(1) + values["b"]).all()
    expected = model.reference(params, state, x)
    assert all(np.abs(y[name] - expected[name]).max() < 1e-5 for name in y)
    assert model.output_shapes({"x": (9, 1), "z": (4,)}) == {"a": (7, 2), "b": (2,), "pool": (2,), "sum": (2,)}


def test_init_is_reproducible_and_independent_per_node() -> None:
    model = sequential([jl.Conv1D(3, 3), jl.Conv1D(3, 3)])
    one, two = (model.init(jax.random.key(4), (None, 3))[0] for _ in range(2))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), one, two))
    assert not (one["conv1d"]["kernel"] == one["conv1d_1"]["kernel"]).any()
    other, _ = model.init(jax.random.key(5), (None, 3))
    assert not (one["conv1d"]["kernel"] == other["conv1d"]["kernel"]).any()


def test_dropout_nodes_have_independent_masks() -> None:
    model = sequential([jl.Dropout(0.5), jl.Dropout(0.5)])
    values, _ = model.values({}, {}, jnp.ones((50, 20)), training=True, key=jax.random.key(0))
    # The second layer drops half of what the first keeps. With the same mask it would drop nothing more.
    assert float((values["dropout_1"] == 0).mean()) == pytest.approx(0.75, abs=0.05)


def test_sequential_names_nodes_like_keras() -> None:
    layers = [jl.Conv1D(2, 3), jl.BatchNormalization(), jl.SeparableConv1D(2, 3), jl.Conv1D(2, 3)]
    layers += [jl.DepthwiseConv1D(1), jl.Conv1DTranspose(2, 3), jl.MaxPooling1D(), jl.Conv1D(2, 1)]
    layers += [jl.ZeroPadding1D(), jl.GlobalAveragePooling1D(), jl.Flatten(), jl.Dense(2), jl.Activation("relu")]
    keras.backend.clear_session()
    theirs = [
        *(kl.Conv1D(2, 3), kl.BatchNormalization(), kl.SeparableConv1D(2, 3), kl.Conv1D(2, 3)),
        *(kl.DepthwiseConv1D(1), kl.Conv1DTranspose(2, 3), kl.MaxPooling1D(), kl.Conv1D(2, 1)),
        *(kl.ZeroPadding1D(), kl.GlobalAveragePooling1D(), kl.Flatten(), kl.Dense(2), kl.Activation("relu")),
    ]
    model = sequential(layers)
    assert [node.name for node in model.nodes] == [layer.name for layer in theirs]
    assert model.inputs == ("input",) and model.outputs == ("activation",)
    assert [node.name for node in sequential([jl.Flatten()], names=["flat"]).nodes] == ["flat"]


def test_model_is_a_static_argument() -> None:
    run = jax.jit(lambda model, p, s, x: model.apply(p, s, x)[0], static_argnums=0)
    one, two = (sequential([jl.Conv1D(2, 3, padding="same"), jl.Flatten()]) for _ in range(2))
    params, state = one.init(jax.random.key(0), (5, 1))
    x = jnp.ones((2, 5, 1))
    assert run(one, params, state, x).shape == (2, 10)
    assert (run(two, params, state, x) == run(one, params, state, x)).all()
    assert run._cache_size() == 1


def test_a_model_is_exported_with_a_symbolic_batch_and_length() -> None:
    model = sequential([jl.Conv1D(3, 3, 2), jl.MaxPooling1D(3, 1, "same"), jl.AveragePooling1D(2), jl.ZeroPadding1D()])
    params, state = model.init(jax.random.key(0), (None, 2))
    batch, length = jax.export.symbolic_shape("b, t", constraints=["t >= 8"])
    x = jax.ShapeDtypeStruct((batch, length, 2), jnp.float32)
    exported = jax.export.export(jax.jit(lambda x: model.apply(params, state, x)[0]))(x)
    for shape in ((2, 8, 2), (3, 21, 2)):
        x = np.float32(drawn(shape))
        assert np.abs(exported.call(x) - model.apply(params, state, x)[0]).max() < 1e-6


def test_summary_lists_every_node() -> None:
    keras_count = keras_graph().count_params()
    lines = GRAPH.summary((12, 2)).splitlines()
    cells = [re.split(r"  +", line) for line in lines]
    assert lines[1] == lines[-3] == "-" * len(lines[1])
    assert cells[0] == ["node", "layer", "reads", "output", "params", "sees", "FLOPs"]
    assert cells[2:-3] == [
        ["x", "input", "(12, 2)"],
        ["stem", "Conv1D(4, 5, padding='same', activation='tanh')", "(12, 4)", "44", "5", "960"],
        ["norm", "BatchNormalization()", "(12, 4)", "16", "5", "96"],
        ["first", "Conv1D(4, 3, padding='causal')", "(12, 4)", "52", "7", "1,152"],
        ["second", "Conv1D(4, 3, padding='causal')", "(12, 4)", "shared", "9", "1,152"],
        ["add", "Add()", "stem, second", "(12, 4)", "0", "9", "0"],
        ["join", "Concatenate()", "add, x", "(12, 6)", "0", "9", "0"],
        ["pool", "MaxPooling1D()", "(6, 6)", "0", "10", "0"],
        ["drop", "Dropout(0.5)", "(6, 6)", "0", "10", "0"],
        ["mean", "GlobalAveragePooling1D()", "(6,)", "0", "all", "0"],
        ["head", "Dense(3, activation='softmax')", "(3,)", "21", "all", "36"],
    ]
    assert keras_count == 44 + 16 + 52 + 21
    assert lines[-2:] == ["params 133 (125 trained, 8 state)", "FLOPs 3,396 for one example"]


def test_summary_of_an_unknown_length() -> None:
    model = sequential([jl.Conv1D(2, 3, stride=2), jl.GlobalMaxPooling1D(), jl.Dense(2)])
    assert model.summary((None, 1), batch=1) == (
        "node                  layer                   reads  output     params  sees  FLOPs  algorithm\n"
        "----------------------------------------------------------------------------------------------\n"
        "input                 input                          (None, 1)\n"
        "conv1d                Conv1D(2, 3, stride=2)         (None, 2)       8     3      ?  ?\n"
        "global_max_pooling1d  GlobalMaxPooling1D()           (2,)            0   all      ?\n"
        "dense                 Dense(2)                       (2,)            6   all      8\n"
        "----------------------------------------------------------------------------------------------\n"
        "params 14 (14 trained, 0 state)\n"
        "FLOPs ? for one example"
    )


def test_summary_with_algorithms_and_a_width() -> None:
    depthwise = jl.Frozen(jl.DepthwiseConv1D(4, padding="causal"))
    model = sequential([jl.SeparableConv1D(256, 4), depthwise, jl.LeakyReLU(0.2)])
    separable, frozen, relu = model.summary((512, 256), batch=8).splitlines()[3:6]
    assert separable.endswith("  shifts, lax") and frozen.endswith("  shifts") and relu.endswith("  0")
    assert "DepthwiseConv1D(4, padding='causal') frozen" in frozen
    text = model.summary((512, 256), batch=8, width=90)
    assert 80 < max(map(len, text.splitlines())) <= 90
    assert re.sub(r"\s+", "", text).count("padding='causal'") == 1


STACKS: list[tuple[list[jl.Layer], int]] = [
    ([jl.Conv1D(1, 3, dilation=d, padding="causal") for d in (1, 2, 4, 8)], 31),
    ([jl.Conv1D(1, 10, stride=5), jl.Conv1D(1, 3, stride=2), jl.Conv1D(1, 3, stride=2)], 40),
    ([jl.Conv1D(1, 3), jl.AveragePooling1D(2), jl.SeparableConv1D(1, 3), jl.DepthwiseConv1D(3)], 12),
    ([jl.Conv1D(1, 4, stride=4), jl.Conv1DTranspose(1, 4, stride=2), jl.Conv1D(1, 3)], 12),
    ([jl.Conv1DTranspose(1, 3, stride=2), jl.Conv1D(1, 2)], 2),
    ([jl.Conv1DTranspose(1, 5, stride=3, dilation=2), jl.Conv1D(1, 4, stride=2), jl.Conv1D(1, 2)], 5),
]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("layers", "expected"), STACKS)
def test_receptive_field_is_the_span_of_a_gradient(layers: list[jl.Layer], expected: int) -> None:
    model = sequential(layers)
    assert receptive_fields(model)[model.outputs[0]] == expected
    params, state = model.init(jax.random.key(0), (64, 1))
    ones = jax.tree.map(jnp.ones_like, params)
    jacobian = jax.jit(jax.jacrev(lambda x: model.apply(ones, state, x[None, :, None])[0][0, :, 0]))(jnp.ones(64))
    spans = [np.flatnonzero(row)[[0, -1]] @ (-1, 1) + 1 for row in np.asarray(jacobian) if row.any()]
    assert max(spans) == expected


CONV = jl.Conv1D(2, 3)
GRAPHS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Node("a", CONV, ()), "node 'a' must read at least one input, got none"),
    (lambda: Node("a", CONV, "x"), "inputs of node 'a' must be a tuple of names, got 'x'"),
    (lambda: Node("a", CONV, ("x", "y")), "node 'a': Conv1D reads one input, got 2: ('x', 'y')"),
    (lambda: Model((), (), ("a",)), "inputs of the model must contain at least one name, got none"),
    (lambda: Model((), ("x",), ()), "outputs of the model must contain at least one name, got none"),
    (lambda: Model((), ("x",), "x"), "outputs of the model must be a tuple of names, got 'x'"),
    (lambda: Model((), ("x", "x"), ("x",)), "inputs of the model must differ, got ('x', 'x')"),
    (lambda: Model((), ("x",), ("x", "x")), "outputs of the model must differ, got ('x', 'x')"),
    (
        lambda: Model((Node("a", CONV, ("y",)),), ("x",), ("a",)),
        "node 'a' reads 'y', which does not exist",
    ),
    (
        lambda: Model((Node("a", CONV, ("b",)), Node("b", CONV, ("a",))), ("x",), ("b",)),
        "node 'a' reads 'b', which is not an earlier node; nodes must be in order",
    ),
    (
        lambda: Model((Node("a", CONV, ("x",)), Node("a", CONV, ("a",))), ("x",), ("a",)),
        "the name 'a' is used twice; names of nodes and inputs must differ",
    ),
    (
        lambda: Model((Node("x", CONV, ("x",)),), ("x",), ("x",)),
        "the name 'x' is used twice; names of nodes and inputs must differ",
    ),
    (
        lambda: Model((Node("a", CONV, ("x",)), Node("b", jl.Dense(2), ("a",), "a")), ("x",), ("b",)),
        "node 'b' shares params 'a' with a different layer, Conv1D(2, 3)",
    ),
    (
        lambda: Model((Node("a", CONV, ("x",)),), ("x",), ("b",)),
        "output 'b' does not exist; the nodes are 'a'",
    ),
    (
        lambda: Model((Node("a", CONV, ("x",)), Node("b", CONV, ("x",))), ("x", "y"), ("b",)),
        "nothing reads 'a'; leave it out or make it an output",
    ),
    (lambda: sequential([]), "sequential needs at least one layer, got none"),
    (lambda: sequential([CONV], names=["a", "b"]), "names must have one name for each of 1 layers, got 2"),
]


@pytest.mark.parametrize(("make", "message"), GRAPHS, ids=[message for _, message in GRAPHS])
def test_invalid_graphs_are_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_errors_of_shapes_name_the_node() -> None:
    model = sequential([CONV, CONV])
    message = (
        "node 'conv1d_1': Conv1D: x has 2 samples, 2 with padding, but kernel_size=3 with dilation=1 reaches over 3; "
        "pad x or use a smaller kernel"
    )
    for refused in (model.output_shapes, model.summary, lambda shape: model.init(jax.random.key(0), shape)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            refused((4, 2))


def test_accepted_shapes_fix_unknown_sizes() -> None:
    model = sequential([jl.Conv1D(4, 100)], input_shape=(None, 2))
    assert model.accepted_shapes() == {"input": (128, 2)}
    assert model.accepted_shapes((500, 3)) == {"input": (500, 3)}
    with pytest.raises(ValueError, match=r"accepts no length of 64, 128, 256, .*; the last error: node 'conv1d'"):
        model.accepted_shapes((50, 2))
    with pytest.raises(ValueError, match="input_shape must be given"):
        sequential([jl.Conv1D(4, 100)]).accepted_shapes()


def test_integer_inputs_have_the_rows_of_the_smallest_embedding() -> None:
    nodes = (
        Node("large", jl.Embedding(20, 4), ("ids",)),
        Node("small", jl.Frozen(jl.Embedding(10, 4)), ("ids",)),
        Node("real", jl.Conv1D(4, 1), ("x",)),
        Node("sum", jl.Add(), ("large", "small", "real")),
    )
    assert Model(nodes, ("ids", "x"), ("sum",)).integer_inputs() == {"ids": 10}


def test_a_shared_layer_needs_inputs_with_the_same_array_shapes() -> None:
    model = Model((Node("a", CONV, ("x",), "c"), Node("b", CONV, ("a",), "c")), ("x",), ("b",))
    message = (
        "node 'b' shares params 'c' with 'a', but an input of shape (7, 2) needs {'kernel': (3, 2, 2), 'bias': (2,)}, "
        "and an input of shape (9, 1) needs {'kernel': (3, 1, 2), 'bias': (2,)}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.init(jax.random.key(0), (9, 1))


def test_arrays_that_do_not_fit_are_errors_in_apply_and_reference() -> None:
    model = sequential([CONV, jl.BatchNormalization()])
    params, state = model.init(jax.random.key(0), (9, 1))
    x = np.ones((2, 9, 1), np.float32)
    cases: list[tuple[Any, Any, Any, str]] = [
        (
            {**params, "dense": {}},
            state,
            x,
            "params has 'dense'; the model's nodes are 'batch_normalization', 'conv1d'",
        ),
        (params, {"a": {}}, x, "state has 'a'; the model's nodes are 'batch_normalization', 'conv1d'"),
        (None, state, x, "params must be a dict by node name, got NoneType"),
        ({}, state, x, "node 'conv1d': Conv1D needs params with 'bias', 'kernel', got nothing"),
        (
            params,
            {},
            x,
            "node 'batch_normalization': BatchNormalization needs state with 'moving_mean', 'moving_variance', "
            "got nothing",
        ),
        (
            params,
            state,
            x[0],
            "node 'conv1d': Conv1D needs an input of shape (length, channels) after the batch axis, got (1,)",
        ),
        (params, state, {"x": x}, "x must be a dict with 'input', got 'x'"),
    ]
    for p, s, x, message in cases:
        for run in (model.apply, model.reference, model.values):
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                run(p, s, x)


def test_several_inputs_are_accepted_as_a_list_or_tuple() -> None:
    nodes = (Node("dense", jl.Dense(3), ("b",)), Node("both", jl.Concatenate(), ("dense", "a")))
    model = Model(nodes, ("b", "a"), ("both",))
    params, state = model.init(jax.random.key(0), [(4, 2), (4, 5)])
    rng = np.random.default_rng(0)
    b, a = rng.standard_normal((2, 4, 2)), rng.standard_normal((2, 4, 5))
    expected = model.apply(params, state, {"a": a, "b": b})[0]
    for x in ([b, a], (b, a)):
        assert np.array_equal(jax.jit(model.apply)(params, state, x)[0], expected)
        assert np.array_equal(model.reference(params, state, x), model.reference(params, state, {"a": a, "b": b}))
    stream = model.stream_init(params, state, (2,), input_shape=((4, 2), (4, 5)))
    y, _ = model.stream_step(params, state, stream, (b[:, :2], a[:, :2]))
    np.testing.assert_allclose(y, expected[:, :2], rtol=1e-6)
    with pytest.raises(ValueError, match=r"^x must be a dict, or a list or tuple in order, of 'b', 'a', got 3$"):
        model.apply(params, state, [b, a, a])


def test_sequential_passes_masks() -> None:
    """Masks are passed to the layers that read them, up to a layer that removes them, as in Keras."""
    x = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    x[0, 4:] = x[1, 1] = 0
    model = sequential(
        [
            jl.Masking(),
            jl.Dropout(0.1),
            jl.Dense(4, activation="tanh"),
            jl.LSTM(3, return_sequences=True),
            jl.BatchNormalization(),
            jl.Bidirectional(jl.GRU(2, return_sequences=True)),
            jl.GlobalAveragePooling1D(),
        ],
        input_shape=(6, 3),
    )
    theirs = keras.Sequential(
        [
            keras.Input((6, 3)),
            kl.Masking(),
            kl.Dropout(0.1),
            kl.Dense(4, activation="tanh"),
            kl.LSTM(3, return_sequences=True),
            kl.BatchNormalization(),
            kl.Bidirectional(kl.GRU(2, return_sequences=True)),
            kl.GlobalAveragePooling1D(),
        ]
    )
    params, state = model.init(jax.random.key(0))
    weights = []
    for node in model.nodes:
        weights += [*params.get(node.key, {}).values(), *state.get(node.key, {}).values()]
    theirs.set_weights([np.asarray(array) for array in weights])
    np.testing.assert_allclose(jax.jit(model.apply)(params, state, x)[0], jax.jit(theirs)(x), atol=1e-6)
    assert sum(node.name.endswith("/mask") for node in model.nodes) == 1
    # A convolution removes the mask, and a mask that no layer reads is not computed.
    ended = sequential([jl.Embedding(5, 3, mask_zero=True), jl.Conv1D(2, 3), jl.LSTM(2)])
    assert [node.name for node in ended.nodes] == ["embedding", "conv1d", "lstm"]
    words = sequential([jl.Embedding(5, 3, mask_zero=True), jl.LSTM(2)])
    assert [node.name for node in words.nodes] == ["embedding", "input/mask", "lstm"]
    with pytest.raises(ValueError, match="Softmax 'softmax' would read the mask of 'input'"):
        sequential([jl.Masking(), jl.Softmax()])


def test_several_inputs_need_a_value_each() -> None:
    model = Model((Node("a", jl.Add(), ("x", "y")),), ("x", "y"), ("a",))
    with pytest.raises(ValueError, match=r"^x must be a dict, or a list or tuple in order, of 'x', 'y', got ndarray$"):
        model.apply({}, {}, np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^input_shape must have a tuple of sizes for 'x', got 10$"):
        model.init(jax.random.key(0), (10, 2))
