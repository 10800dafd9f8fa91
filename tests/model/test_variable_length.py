"""Networks on ragged and packed batches equal the network on each sequence alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
import jconv.keras
from jconv import Node, reference
from jconv import layers as jl
from tests.support.paths import ROOT
from tests.support.sequences import drawn_ids, with_nan_padding
from tests.support.settings import deviation, in_type, quick_jit

LENGTH = 24
LENGTHS = np.array([17, LENGTH, 9])


def residual():
    """A classifier with a residual block and squeeze and excitation, which uses a value per sequence in the middle."""
    nodes = [
        Node("first", jl.Conv1D(4, 3, stride=2, padding="same"), ("x",)),
        Node("norm", jl.BatchNormalization(), ("first",)),
        Node("relu", jl.ReLU(), ("norm",)),
        Node("second", jl.Conv1D(4, 2, dilation=2, padding="causal"), ("relu",)),
        Node("squeeze", jl.GlobalAveragePooling1D(keepdims=True), ("second",)),
        Node("excite", jl.Dense(4, activation="sigmoid"), ("squeeze",)),
        Node("scaled", jl.Multiply(), ("second", "excite")),
        Node("add", jl.Add(), ("scaled", "first")),
        Node("pool", jl.MaxPooling1D(2, padding="same"), ("add",)),
        Node("all", jl.GlobalMaxPooling1D(), ("pool",)),
        Node("flat", jl.Flatten(), ("all",)),
        Node("classes", jl.Dense(3, activation="softmax"), ("flat",)),
    ]
    return jconv.Model(tuple(nodes), ("x",), ("classes",))


MODELS = {
    "residual": residual(),
    "samples": jconv.sequential(
        [
            jl.SeparableConv1D(3, 3, padding="valid", activation="elu"),
            jl.AveragePooling1D(2, padding="same"),
            jl.LayerNormalization(),
            jl.UpSampling1D(2),
            jl.Cropping1D((0, 1)),
            jl.Conv1D(2, 1),
        ]
    ),
    "recurrent": jconv.sequential(
        [
            jl.Conv1D(3, 4, stride=2, padding="causal"),
            jl.Bidirectional(jl.SimpleRNN(2, return_sequences=True)),
            jl.GroupNormalization(2),
            jl.GRU(2),
            jl.Dense(3),
        ]
    ),
}


def arrays(model):
    params, state = model.init(jax.random.key(0), (LENGTH, 2))
    rng = np.random.default_rng(1)
    draw = partial(jax.tree.map, lambda a: rng.uniform(0.3, 1, a.shape) * rng.choice([-1, 1], a.shape))
    return draw(params), jax.tree.map(np.abs, draw(state))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("packed", [False, True], ids=["ragged", "packed"])
@pytest.mark.parametrize("name", MODELS)
def test_networks_equal_each_sequence_alone(name, packed):
    model = MODELS[name]
    params, state = arrays(model)
    rng = np.random.default_rng(2)
    extents = {"segment_ids": np.repeat([3, 1, -1, 0], [9, 8, 2, 5])[None]} if packed else {"lengths": LENGTHS}
    x, dx = rng.standard_normal((2, 1 if packed else 3, LENGTH, 2))
    dparams = jax.tree.map(lambda p: rng.standard_normal(p.shape), params)
    # The upsampling of this model doubles the positions in packed rows.
    scale_option = {"scale": 2} if packed and name == "samples" else {}

    def alone(params, sequence):
        y = model.reference(params, state, sequence[None])[0]
        return y if y.ndim == 2 else y[None]

    y, out = reference.one_by_one(partial(alone, params), x, **extents, **scale_option)
    perturbed = jax.tree.map(lambda p, d: p + 1e-30j * d, params, dparams)
    dy = reference.one_by_one(partial(alone, perturbed), x + 1e-30j * dx, **extents, **scale_option)[0].imag / 1e-30
    y_bar = rng.standard_normal(y.shape)

    def everything(params, x):
        def run(params, x):
            y, extent = model.apply(params, state, x, **extents)[0]
            return y, y if extent is None else extent

        found, tangent, extent = jax.jvp(run, (params, x), (dparams, dx), has_aux=True)
        bar = y_bar[:, : found.shape[1]].reshape(found.shape)
        return found, tangent, extent, jax.vjp(lambda *given: run(*given)[0], params, x)[1](bar)

    found, tangent, extent, bars = in_type("float64", quick_jit(everything), params, with_nan_padding(x, **extents))
    y, dy, y_bar = (a[:, : found.shape[1]].reshape(found.shape) if found.ndim == 3 else a[:, 0] for a in (y, dy, y_bar))
    assert deviation(found, y) < 1e-14
    assert deviation(tangent, dy) < 1e-13
    if found.ndim == 3:
        np.testing.assert_array_equal(extent, out[:, : found.shape[1]] if packed else out)
    pairs = zip(jax.tree.leaves(bars), jax.tree.leaves((dparams, dx)), strict=True)
    assert sum(np.vdot(a, b) for a, b in pairs) == pytest.approx(np.vdot(y_bar, dy), rel=1e-11)


def test_networks_may_have_inputs_without_a_length():
    nodes = (
        Node("conv", jl.Conv1D(3, 3, padding="same"), ("x",)),
        Node("own", jl.Dense(3), ("facts",)),
        Node("both", jl.Add(), ("conv", "own")),
        Node("pool", jl.GlobalMaxPooling1D(), ("both",)),
    )
    model = jconv.Model(nodes, ("x", "facts"), ("both", "pool"))
    params, state = model.init(jax.random.key(0), {"x": (LENGTH, 2), "facts": (5,)})
    rng = np.random.default_rng(0)
    x = {"x": rng.standard_normal((3, LENGTH, 2)), "facts": rng.standard_normal((3, 5))}
    spoilt = {**x, "x": with_nan_padding(x["x"], lengths=LENGTHS)}
    (y, extent), _ = in_type("float64", partial(model.apply, lengths={"x": LENGTHS}), params, state, spoilt)
    assert extent["both"].tolist() == LENGTHS.tolist() and extent["pool"] is None
    for row, n in enumerate(LENGTHS):
        alone = model.reference(params, state, {"x": x["x"][row : row + 1, :n], "facts": x["facts"][row : row + 1]})
        assert deviation(y["both"][row, :n], alone["both"][0]) < 1e-14
        assert deviation(y["pool"][row], alone["pool"][0]) < 1e-14


def test_a_model_saved_by_keras_equals_each_sequence_alone():
    model, params, state = jconv.keras.load(ROOT / "docs" / "gun_point.keras")
    x = np.random.default_rng(0).standard_normal((2, 60, 1))
    lengths = np.array([60, 31])

    def logits(params, x):
        # The logarithm of the last node's softmax, which would hide a difference.
        return jnp.log(model.apply(params, state, x, lengths=lengths)[0][0])

    found = in_type("float64", quick_jit(logits), params, with_nan_padding(x, lengths=lengths))
    y = [np.log(model.reference(params, state, x[row : row + 1, :n])[0]) for row, n in enumerate(lengths)]
    assert deviation(found, y) < 1e-12


def test_training_with_traced_lengths_ignores_padding():
    model = MODELS["residual"]
    params, state = jax.tree.map(jnp.float32, arrays(model))
    x = np.random.default_rng(0).standard_normal((3, LENGTH, 2)).astype(np.float32)

    @quick_jit
    def step(params, state, x, lengths):
        def loss(params):
            (y, _), after = model.apply(params, state, x, lengths=lengths, training=True)
            return (y**2).sum(), after

        return jax.grad(loss, has_aux=True)(params)

    first = step(params, state, with_nan_padding(x, lengths=LENGTHS), LENGTHS)
    again = step(params, state, np.where(np.isnan(with_nan_padding(x, lengths=LENGTHS)), 7, x), LENGTHS)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    step(params, state, x, np.array([1, 0, 3]))
    assert step._cache_size() == 1


def test_a_row_without_samples_is_zero_and_has_no_gradient():
    model = MODELS["residual"]
    params, state = jax.tree.map(jnp.float32, arrays(model))
    x = np.full((1, LENGTH, 2), np.nan, np.float32)
    run = quick_jit(jax.grad(lambda p: (model.apply(p, state, x, lengths=np.array([0]))[0][0] ** 2).sum()))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(run(params)))


@pytest.mark.parametrize(
    ("extents", "message"),
    [
        ({"lengths": LENGTHS, "segment_ids": LENGTHS}, "lengths and segment_ids must not both be given"),
        ({"lengths": {"y": LENGTHS}}, "lengths must be for inputs of the model, 'input', got 'y'"),
        ({"lengths": LENGTHS[:2]}, "lengths must be integers of shape (3,), got int32 of shape (2,)"),
        (
            {"lengths": LENGTHS},
            "node 'flatten': Flatten takes no lengths or segment_ids: padding would become features",
        ),
    ],
)
def test_invalid_lengths_and_segment_ids_raise_one_line(extents, message):
    model = jconv.sequential([jl.Conv1D(1, 3), jl.Flatten()])
    with pytest.raises(ValueError) as error:
        model.apply(*model.init(jax.random.key(0), (LENGTH, 2)), np.ones((3, LENGTH, 2)), **extents)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_input_without_a_length_is_named():
    model = jconv.sequential([jl.Dense(2)])
    with pytest.raises(ValueError, match=r"input 'input' of shape \(3,\) has no length, but lengths were given for it"):
        model.apply({}, {}, np.ones(3), lengths=np.ones(3, int))


def test_packed_random_segments_equal_each_sequence_alone():
    model, rng = MODELS["residual"], np.random.default_rng(5)
    params, state = arrays(model)
    run = quick_jit(lambda x, ids: model.apply(params, state, x, segment_ids=ids)[0])
    for seed in range(3):
        ids = np.stack([drawn_ids(np.random.default_rng(seed + 10 * row), LENGTH) for row in range(2)])
        x = rng.standard_normal((2, LENGTH, 2))
        y, out = reference.one_by_one(lambda s: model.reference(params, state, s[None]), x, segment_ids=ids)
        found, extent = in_type("float64", run, with_nan_padding(x, segment_ids=ids), ids)
        np.testing.assert_array_equal(extent, out)
        assert deviation(found, y) < 1e-14
