"""Layers on ragged and packed batches equal the layer on each sequence alone, in values and derivatives."""

from functools import partial

import jax
import numpy as np
import pytest

from jconv import layers as jl
from jconv import reference
from jconv.layers.operations.operands import Input, Slice
from tests.support.layer_checks import arrays_of
from tests.support.sequences import with_nan_padding
from tests.support.settings import deviation, in_type, quick_jit

LENGTH, CHANNELS = 9, 4
LENGTHS = np.array([5, 0, LENGTH, 1])
# Five segments, two of a single sample and two with the same id, and padding between and after them.
IDS = np.array([[2, 2, 2, 2, -1, -1, 3, 2, 2], [0, 0, 0, 0, 0, 0, 0, 1, -1]])

# Layers for ragged and packed batches, each with the `scale` of `reference.one_by_one` for packed batches.
RAGGED_AND_PACKED = {
    "conv": (jl.Conv1D(3, 3, stride=2, padding="same", activation="tanh"), 1),
    "dilated": (jl.Conv1D(3, 2, dilation=2, padding="causal", groups=1), 1),
    "depthwise": (jl.DepthwiseConv1D(3, padding="valid"), 1),
    "separable": (jl.SeparableConv1D(3, 3, padding="same"), 1),
    "transposed": (jl.Conv1DTranspose(3, 3, stride=2, padding="same"), 2),
    "max": (jl.MaxPooling1D(3, stride=2, padding="same"), 1),
    "max valid": (jl.MaxPooling1D(2), 1),
    "average": (jl.AveragePooling1D(3, stride=2, padding="same"), 1),
    "average valid": (jl.AveragePooling1D(2, stride=1), 1),
    "global average": (jl.GlobalAveragePooling1D(), 1),
    "global max": (jl.GlobalMaxPooling1D(keepdims=True), 1),
    "batch normalization": (jl.BatchNormalization(), 1),
    "layer normalization": (jl.LayerNormalization(), 1),
    "group normalization": (jl.GroupNormalization(2), 1),
    "unit normalization": (jl.UnitNormalization(), 1),
    "unit normalization of the length": (jl.UnitNormalization((1, 2)), 1),
    "dense": (jl.Dense(3, activation="gelu"), 1),
    "softmax": (jl.Softmax(), 1),
    "softmax of the length": (jl.Softmax(1), 1),
    "prelu": (jl.PReLU((1,)), 1),
    "cropping": (jl.Cropping1D((1, 2)), 1),
    "upsampling": (jl.UpSampling1D(2), 2),
    "lstm": (jl.LSTM(3, return_sequences=True), 1),
    "last of a gru": (jl.GRU(3), 1),
    "rnn backwards": (jl.SimpleRNN(3, return_sequences=True, go_backwards=True), 1),
    "last of an rnn backwards": (jl.SimpleRNN(3, go_backwards=True), 1),
    "bidirectional": (jl.Bidirectional(jl.SimpleRNN(3, return_sequences=True)), 1),
    "last of both": (jl.Bidirectional(jl.SimpleRNN(3), merge_mode="sum"), 1),
    "time distributed": (jl.TimeDistributed(jl.Dense(3)), 1),
    "frozen": (jl.Frozen(jl.Conv1D(3, 3, padding="same")), 1),
    "spectral": (jl.SpectralNormalization(jl.Conv1D(3, 3, padding="same")), 1),
    "in a type": (jl.InDtype(jl.Conv1D(3, 3, padding="same"), "float64"), 1),
    "dropout": (jl.Dropout(0.5), 1),
    "operation": (jl.Operation("arctan"), 1),
}
# Layers for ragged batches only.
RAGGED_ONLY = {
    "zero padding": jl.ZeroPadding1D((1, 2)),
    "adaptive average": jl.AdaptiveAveragePooling1D(4),
    "adaptive max": jl.AdaptiveMaxPooling1D(4),
    "full": jl.Conv1D(3, 3, padding="full"),
}


def check(layer, extents, scale):
    params, state = arrays_of(layer, (LENGTH, CHANNELS))
    dparams, _ = arrays_of(layer, (LENGTH, CHANNELS), seed=3)
    rng = np.random.default_rng(0)
    x, dx = rng.standard_normal((2, len(next(iter(extents.values()))), LENGTH, CHANNELS))

    def alone(params, sequence):
        y = layer.reference(params, state, sequence[None])[0]
        return y if y.ndim == 2 else y[None]

    many = {} if "lengths" in extents else {"scale": scale}
    y, out = reference.one_by_one(partial(alone, params), x, **extents, **many)
    moved = {name: p + 1e-30j * dparams[name] for name, p in params.items()}
    dy = reference.one_by_one(partial(alone, moved), x + 1e-30j * dx, **extents, **many)[0].imag / 1e-30
    y_bar = rng.standard_normal(y.shape)

    def everything(params, x):
        def run(params, x):
            (found, where), after = layer.apply_ragged(params, state, x, **extents)
            assert set(after) == set(state)
            return found.reshape(y.shape), where

        found, moved, where = jax.jvp(run, (params, x), (dparams, dx), has_aux=True)
        return found, moved, where, jax.vjp(lambda *given: run(*given)[0], params, x)[1](y_bar)

    found, moved, where, (params_bar, x_bar) = in_type(
        "float64", quick_jit(everything), params, with_nan_padding(x, **extents)
    )
    if where is not None and where.dtype != object:
        np.testing.assert_array_equal(where, out)
    assert deviation(found, y) < 1e-14
    assert deviation(moved, dy) < 1e-13
    pairs = sum(np.vdot(params_bar[name], dparams[name]) for name in params) + np.vdot(x_bar, dx)
    assert pairs == pytest.approx(np.vdot(y_bar, dy), rel=1e-12)
    padding = np.isnan(with_nan_padding(x, **extents))
    assert (x_bar[padding] == 0).all()


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("name", RAGGED_AND_PACKED)
def test_ragged_equals_each_sequence_alone(name):
    check(RAGGED_AND_PACKED[name][0], {"lengths": LENGTHS}, 1)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("name", RAGGED_AND_PACKED)
def test_packed_equals_each_sequence_alone(name):
    check(RAGGED_AND_PACKED[name][0], {"segment_ids": IDS}, RAGGED_AND_PACKED[name][1])


@pytest.mark.parametrize("name", RAGGED_ONLY)
def test_ragged_only_layers_equal_each_sequence_alone(name):
    check(RAGGED_ONLY[name], {"lengths": LENGTHS}, 1)


@pytest.mark.parametrize("extents", [{"lengths": LENGTHS}, {"segment_ids": IDS}], ids=["ragged", "packed"])
def test_conv_lstm_equals_each_sequence_alone(extents):
    x = np.random.default_rng(0).standard_normal((len(next(iter(extents.values()))), LENGTH, 5, 2))
    for layer in (jl.ConvLSTM1D(2, 3, padding="same", return_sequences=True), jl.ConvLSTM1D(2, 3, go_backwards=True)):
        params, _ = arrays_of(layer, (LENGTH, 5, 2))
        flat = x.reshape(*x.shape[:2], -1)

        def alone(sequence, layer=layer, params=params):
            y = layer.reference(params, {}, sequence.reshape(1, -1, 5, 2))[0]
            return y.reshape(len(sequence) if layer.return_sequences else 1, -1)

        y, _ = reference.one_by_one(alone, flat, **extents)
        padded_x = with_nan_padding(flat, **extents).reshape(x.shape)
        run = quick_jit(lambda params, x, layer=layer: layer.apply_ragged(params, {}, x, **extents)[0][0])
        assert deviation(in_type("float64", run, params, padded_x).reshape(y.shape), y) < 1e-14


@pytest.mark.parametrize("extents", [{"lengths": LENGTHS}, {"segment_ids": IDS}], ids=["ragged", "packed"])
def test_batch_normalization_in_training_ignores_padding(extents):
    layer = jl.BatchNormalization()
    params, state = arrays_of(layer, (LENGTH, CHANNELS))
    x = np.random.default_rng(0).standard_normal((len(next(iter(extents.values()))), LENGTH, CHANNELS))
    valid = ~np.isnan(with_nan_padding(x, **extents)[..., 0])
    mean, variance = x[valid].mean(axis=0), x[valid].var(axis=0)
    y = layer.reference(params, state, x[valid][None], training=True)[0]

    def run(params, state, x):
        (y, _), after = layer.apply_ragged(params, state, x, **extents, training=True)
        return y, after, jax.grad(lambda x: (layer.apply_ragged(params, state, x, **extents)[0][0] ** 3).sum())(x)

    found, after, bar = in_type("float64", quick_jit(run), params, state, with_nan_padding(x, **extents))
    assert deviation(found[valid], y) < 1e-13 and (found[~valid] == 0).all() and (bar[~valid] == 0).all()
    for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
        assert deviation(after[name], state[name] * 0.99 + batch * 0.01) < 1e-14


def test_masks_are_combined_with_lengths():
    x = np.random.default_rng(0).standard_normal((4, LENGTH, CHANNELS))
    mask = np.random.default_rng(1).random((4, LENGTH)) > 0.3
    pool = jl.GlobalAveragePooling1D(inputs=("sequence", "mask"))
    rnn = jl.SimpleRNN(3, inputs=("sequence", "mask"), return_state=True)
    params, _ = arrays_of(rnn, ((LENGTH, CHANNELS), (LENGTH,)))
    for layer, own in ((pool, {}), (rnn, params)):

        def run(own, x, mask, layer=layer):
            return layer.apply_ragged(own, {}, (x, mask), lengths=LENGTHS)[0][0]

        found = in_type("float64", quick_jit(run), own, with_nan_padding(x, lengths=LENGTHS), mask)
        for row in (0, 2):
            n = LENGTHS[row]
            alone = layer.reference(own, {}, (x[row : row + 1, :n], mask[row : row + 1, :n]))
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
                assert deviation(a[row], b[0]) < 1e-14


def test_ties_in_global_max_pooling_share_the_gradient():
    x, pool = np.array([[[1.0], [3.0], [3.0], [3.0]]]), jl.GlobalMaxPooling1D()
    ragged, packed = {"lengths": np.array([3])}, {"segment_ids": np.array([[0, 0, 0, 1]])}
    for extents, rows in ((ragged, [0, 0.5, 0.5, 0]), (packed, [0, 0.5, 0.5, 1])):
        grad = jax.grad(lambda x, extents=extents: pool.apply_ragged({}, {}, x, **extents)[0][0].sum())
        assert quick_jit(grad)(x)[0, :, 0].tolist() == rows


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (jl.Flatten(), "Flatten takes no lengths or segment_ids: padding would become features"),
        (jl.Reshape((-1, 2)), "Reshape takes no lengths or segment_ids: padding would become features"),
        (jl.Permute((2, 1)), "Permute takes no lengths or segment_ids: the length would not be the first axis"),
        (
            jl.LayerNormalization(1),
            "LayerNormalization takes no lengths or segment_ids: its gamma and beta are for",
        ),
        (jl.RMSNormalization((1, 2)), "RMSNormalization takes no lengths or segment_ids: its scale is for one length"),
        (
            jl.GroupNormalization(1, axis=1),
            "GroupNormalization takes no lengths or segment_ids: it needs groups of channels",
        ),
        (jl.PReLU(), "PReLU takes no lengths or segment_ids: its alpha is for one length; share axis 1"),
        (jl.ChannelsFirst(jl.Conv1D(2, 3)), "ChannelsFirst takes no lengths or segment_ids: the length must be"),
        (jl.Softmax((1, 2)), "Softmax takes no lengths or segment_ids: its axes are the length and another axis"),
        (
            jl.Operation("flip", (Input(),), (("axis", 1),)),
            "Operation takes no lengths or segment_ids: it does",
        ),
        (
            jl.Operation("get_item", (Input(), (Slice(), Slice(2)))),
            "Operation takes no lengths or segment_ids: a slice of",
        ),
    ],
)
def test_unsupported_layers_are_refused_with_a_reason(layer, message):
    shape = (LENGTH, CHANNELS)
    with pytest.raises(ValueError) as error:
        layer.apply_ragged(*arrays_of(layer, shape), np.ones((4, *shape)), lengths=LENGTHS)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("layer", [jl.Activation("softmax"), jl.Operation("softmax")], ids=str)
def test_layers_along_the_last_axis_need_channels(layer):
    with pytest.raises(ValueError, match="takes no lengths or segment_ids: its input has no channels"):
        layer.apply_ragged({}, {}, np.ones((4, LENGTH)), lengths=LENGTHS)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (jl.ZeroPadding1D(1), "ZeroPadding1D takes no lengths or segment_ids: packed segments would grow into"),
        (jl.AdaptiveMaxPooling1D(2), "AdaptiveMaxPooling1D takes no lengths or segment_ids: packed segments shorter"),
        (jl.LSTM(2, return_state=True), "LSTM takes no lengths or segment_ids: with packed segments, states and masks"),
        (jl.Conv1D(2, 3, padding="full"), "Conv1D: padding='full' makes segments longer than they are"),
    ],
)
def test_layers_unsupported_with_segments_are_refused_with_a_reason(layer, message):
    shape = (LENGTH, CHANNELS)
    with pytest.raises(ValueError) as error:
        layer.apply_ragged(*arrays_of(layer, shape), np.ones((2, *shape)), segment_ids=IDS)
    assert message in str(error.value) and "\n" not in str(error.value)
