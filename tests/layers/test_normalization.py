"""Normalizations and rescaling compared with their NumPy references; training, shapes and errors."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

from jconv import layers as jl
from tests.support.constant_inputs import ConstantInputs
from tests.support.layer_checks import arrays_of, check_against_reference, deviation, drawn, single

MASKED = jl.BatchNormalization(inputs=("sequence", "mask"))
GIVEN = {"mean": (1.0, 2.0, 3.0, 4.0), "variance": (1.0, 0.0, 3.0, 4.0)}

LAYERS: dict[str, tuple[jl.Layer, Any]] = {
    "batch_length": (jl.BatchNormalization([1]), (7, 4)),
    "batch_negative": (jl.BatchNormalization(-2, center=False), (7, 4)),
    "layer": (jl.LayerNormalization(), (7, 4)),
    "layer_length": (jl.LayerNormalization(1, scale=False), (7, 4)),
    "layer_turned": (jl.LayerNormalization([1, -1], 0.1), (7, 4)),
    "layer_deviation": (jl.LayerNormalization(rms_scaling=True, scale=False), (7, 4)),
    "rms": (jl.RMSNormalization(), (7, 4)),
    "rms_both": (jl.RMSNormalization([2, 1], 0.1), (7, 4)),
    "rms_square": (jl.RMSNormalization(1), (4, 4)),
    "unit": (jl.UnitNormalization(), (7, 4)),
    "unit_both": (jl.UnitNormalization((1, 2)), (7, 4)),
    "group": (jl.GroupNormalization(2), (7, 4)),
    "group_each": (jl.GroupNormalization(-1, scale=False), (7, 4)),
    "group_length": (jl.GroupNormalization(3, [-2], center=False), (6, 4)),
    "group_vector": (jl.GroupNormalization(2), (4,)),
    "spectral": (jl.SpectralNormalization(jl.Dense(3)), (7, 4)),
    "spectral_conv": (jl.SpectralNormalization(jl.Frozen(jl.Conv1D(3, 2))), (7, 4)),
    "rescaling": (jl.Rescaling(2, [1, 2, 3, 4]), (7, 4)),
    "standard": (jl.Normalization(), (7, 4)),
    "standard_both": (jl.Normalization((2, 1), invert=True), (7, 4)),
    "standard_whole": (jl.Normalization(None), (7, 4)),
    "standard_given": (jl.Normalization((1, 2), **GIVEN), (7, 4)),
    "standard_numbers": (jl.Normalization(1, 1.0, 2.0, True), (7, 4)),
}


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_derivatives_equal_the_reference(name: str) -> None:
    check_against_reference(*LAYERS[name])


def test_a_mask_changes_nothing_outside_training() -> None:
    check_against_reference(ConstantInputs(MASKED, {"mask": np.arange(7) % 3 > 0}), (7, 4))


@pytest.mark.parametrize("axis", [-1, 1])
def test_the_statistics_of_a_masked_batch_equal_keras_and_the_reference(axis: int) -> None:
    theirs = kl.BatchNormalization(axis=axis, momentum=0.9)
    layer = jl.BatchNormalization(axis, 0.9, inputs=("sequence", "mask"))
    x, mask = np.float32(3 + 2 * drawn((7, 4))), drawn((7,)) > 0
    theirs.build(x.shape)
    params, state = layer.init(jax.random.key(0), ((7, 4), (7,)))
    y, after = jax.jit(lambda x, mask: layer.apply(params, state, (x, mask), training=True))(x, mask)
    assert deviation(y, theirs(x, training=True, mask=mask)) < 2e-6
    assert deviation(layer.reference(params, state, (x, mask), training=True), y) < 2e-6
    for name in ("moving_mean", "moving_variance"):
        assert deviation(after[name], getattr(theirs, name)) < 2e-6


def test_derivatives_in_training_equal_the_reference() -> None:
    with jax.enable_x64(True):
        params, state = arrays_of(MASKED, ((7, 4), (7,)))
        x, dx, mask = 5 + drawn((7, 4)), drawn((7, 4), seed=2), drawn((7,)) > 0
        apply = jax.jit(lambda x: MASKED.apply(params, state, (x, mask), training=True)[0])
        y, dy = jax.jvp(apply, (x,), (dx,))
    assert deviation(y, MASKED.reference(params, state, (x, mask), training=True)) < 1e-13
    step = MASKED.reference(params, state, (x + 1e-30j * dx, mask), training=True).imag / 1e-30
    assert deviation(dy, step) < 1e-12


SPECTRAL = {
    "dense": (jl.SpectralNormalization(jl.Dense(3)), lambda: kl.SpectralNormalization(kl.Dense(3))),
    "conv": (
        jl.SpectralNormalization(jl.Conv1D(3, 2, use_bias=False), 3),
        lambda: kl.SpectralNormalization(kl.Conv1D(3, 2, use_bias=False), power_iterations=3),
    ),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", SPECTRAL)
def test_spectral_normalization_trains_as_keras_on_jax(name: str) -> None:
    layer, make = SPECTRAL[name]
    theirs, x = make(), np.float32(drawn((7, 4)))
    theirs.build(x.shape)
    params, state = ({n: np.float32(a) for n, a in tree.items()} for tree in arrays_of(layer, (7, 4)))
    assert [w.shape for w in theirs.trainable_weights] == [a.shape for a in params.values()]
    theirs.vector_u.assign(state["vector_u"])

    def run(weights: Any) -> Any:
        y, rest = theirs.stateless_call(weights, [state["vector_u"]], x, training=True)
        return y, rest[0]

    def ours(weights: Any) -> Any:
        y, after = layer.apply(dict(zip(params, weights, strict=True)), state, x, training=True)
        return y, after["vector_u"]

    y_bar, both = np.float32(drawn(layer.output_shape((7, 4)))), []
    for function in (ours, run):
        y, back, vector = jax.vjp(function, list(map(jnp.asarray, params.values())), has_aux=True)
        both.append((y, vector, *back(y_bar)[0]))
    for have, want in zip(*both, strict=True):
        assert deviation(have, want) < 1e-5
    exact = layer.reference(params, state, x, training=True)
    assert deviation(exact, both[0][0]) < 1e-5
    # Outside training the kernel is not divided.
    theirs.layer.set_weights(list(params.values()))
    assert deviation(layer.apply(params, state, x)[0], theirs(x)) < 1e-6


def test_spectral_normalization_in_training_equals_the_reference() -> None:
    layer = jl.SpectralNormalization(jl.Conv1D(3, 2), 2)
    params, state = arrays_of(layer, (7, 4))
    (dparams, _), x = arrays_of(layer, (7, 4), seed=3), drawn((7, 4))
    with jax.enable_x64(True):
        apply = jax.jit(lambda p: layer.apply(p, state, x, training=True)[0])
        y, dy = jax.jvp(apply, (params,), (dparams,))
    moved = jax.tree.map(lambda a, d: a + 1e-30j * d, params, dparams)
    assert deviation(y, layer.reference(params, state, x, training=True)) < 1e-13
    assert deviation(dy, layer.reference(moved, state, x, training=True).imag / 1e-30) < 1e-12


def test_spectral_normalization_of_random_zero_and_frozen_kernels() -> None:
    layer = jl.SpectralNormalization(jl.Dense(3, use_bias=False), 30)
    params, state = single(arrays_of(layer, (4,)))
    x = np.eye(4, dtype=np.float32)
    y, after = jax.jit(lambda p: layer.apply(p, state, x, training=True))(params)
    assert float(np.linalg.norm(y, 2)) == pytest.approx(1, rel=1e-5)
    assert not (after["vector_u"] == state["vector_u"]).all()
    zeros = {"layer/kernel": np.zeros((4, 3), np.float32)}
    y, bars, after = jax.vjp(lambda p: layer.apply(p, state, x, training=True), zeros, has_aux=True)
    assert not y.any() and (after["vector_u"] == state["vector_u"]).all()
    assert (bars(jnp.ones((4, 3)))[0]["layer/kernel"] == 1).all()
    assert not layer.reference(zeros, state, x, training=True).any()
    frozen = jl.SpectralNormalization(jl.Frozen(layer.layer), 30)
    y, after = frozen.apply({}, {**state, **params}, x, training=True)
    assert float(np.linalg.norm(y, 2)) == pytest.approx(1, rel=1e-5)
    assert (after["layer/kernel"] == params["layer/kernel"]).all()


def test_spectral_normalization_of_an_embedding_returns_the_dtype_of_its_input() -> None:
    layer = jl.SpectralNormalization(jl.Embedding(2, 1))
    params = {"layer/embeddings": jnp.array([[1.7], [-1.7]])}
    state = {"vector_u": jnp.ones((1, 1))}
    y, _ = layer.apply(params, state, jnp.array([[0, 1]]))
    assert y.dtype == jnp.int32 and y.ravel().tolist() == [1, -1]
    assert layer.reference(params, state, np.array([[0, 1]])).ravel().tolist() == [1, -1]
    assert layer.apply(params, state, jnp.array([[0.0, 1.0]]))[0].dtype == jnp.float32


@pytest.mark.filterwarnings("ignore:(.|\n)*deprecated")
def test_layer_normalization_with_rms_scaling_equals_keras() -> None:
    theirs = kl.LayerNormalization(rms_scaling=True)
    x = np.float32(3 + drawn((7, 4)))
    params, _ = single(arrays_of(jl.LayerNormalization(rms_scaling=True), (7, 4)))
    theirs.build(x.shape)
    theirs.set_weights(list(params.values()))
    assert deviation(jl.LayerNormalization(rms_scaling=True).apply(params, {}, x)[0], theirs(x)) < 2e-6


def test_unit_normalization_of_zeros_and_tiny_vectors() -> None:
    layer = jl.UnitNormalization()
    x = jnp.array([[0.0, 0.0], [0.0, 1e-13], [1e-20, 0.0]])
    y = layer.apply({}, {}, x)[0]
    assert deviation(y, keras.ops.normalize(x, epsilon=1e-12)) < 1e-6
    assert deviation(layer.reference({}, {}, x), y) < 1e-6
    assert (jax.grad(lambda x: layer.apply({}, {}, x)[0][0].sum())(x)[0] == 1e12).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    "layer",
    [jl.LayerNormalization(), jl.RMSNormalization(), jl.UnitNormalization(), jl.GroupNormalization(1)],
    ids=str,
)
def test_16_bit_floats_compute_in_float32(layer: Any, dtype: Any) -> None:
    # The squares overflow float16, and sums of 4096 of them stop early in either type.
    x = jnp.asarray(300 + 200 * drawn((4096,), batch=1), dtype)
    params = {name: jnp.ones(shape, dtype) for name, shape in layer.param_shapes((4096,)).items()}
    y, _ = jax.jit(layer.apply)(params, {}, x)
    assert y.dtype == dtype
    assert deviation(jnp.float32(y), layer.reference(params, {}, x)) < 1e-2


def test_integers_are_rescaled_in_float32() -> None:
    x = jnp.array([[0, 255]], jnp.uint8)
    assert jl.Rescaling(1 / 255).apply({}, {}, x)[0].tolist() == [[0.0, 1.0]]
    y, _ = jl.Normalization(None, 5.0, 4.0).apply({}, {}, x)
    assert y.dtype == jnp.float32 and y.tolist() == [[-2.5, 125.0]]


def test_init() -> None:
    params, _ = jl.LayerNormalization([1, 2]).init(jax.random.key(0), (2, 3))
    assert params["gamma"].tolist() == [[1] * 3] * 2 and params["beta"].tolist() == [[0] * 3] * 2
    assert jl.RMSNormalization().init(jax.random.key(0), (None, 3))[0]["scale"].tolist() == [1] * 3
    _, state = jl.Normalization().init(jax.random.key(0), (None, 2))
    assert {name: a.tolist() for name, a in state.items()} == {"mean": [0, 0], "variance": [1, 1], "count": 0}
    assert jl.Normalization(mean=1, variance=2).init(jax.random.key(0), (None, 2)) == ({}, {})
    params, state = jl.SpectralNormalization(jl.Dense(2000)).init(jax.random.key(0), (4,))
    assert list(params) == ["layer/kernel", "layer/bias"]
    assert 0.015 < float(state["vector_u"].std()) < 0.02 and float(jnp.abs(state["vector_u"]).max()) <= 0.04


@pytest.mark.parametrize(
    ("layer", "shape", "window"),
    [
        (MASKED, ((None, 4), (None,)), (1, 1)),
        (jl.LayerNormalization(), (None, 4), (1, 1)),
        (jl.LayerNormalization(2), (None, 4), (1, 1)),
        (jl.LayerNormalization(1), (7, 4), None),
        (jl.LayerNormalization([-2, -1]), (7, 4), None),
        (jl.RMSNormalization(), (None, 4), (1, 1)),
        (jl.UnitNormalization(1), (None, 4), None),
        (jl.GroupNormalization(2), (None, 4), None),
        (jl.SpectralNormalization(jl.Conv1D(4, 3, padding="same")), (None, 4), (3, 1)),
        (jl.Rescaling(2.0), (None, 4), (1, 1)),
        (jl.Normalization(), (None, 4), (1, 1)),
    ],
    ids=str,
)
def test_unknown_lengths_and_windows(layer: jl.Layer, shape: Any, window: Any) -> None:
    assert layer.output_shape(shape) == (shape[0] if isinstance(shape[0], tuple) else shape)
    assert layer.window() == window


@pytest.mark.parametrize(
    ("layer", "shape", "flops"),
    [
        (jl.BatchNormalization(1), (7, 4), 56),
        (MASKED, ((7, 4), (7,)), 56),
        (jl.LayerNormalization(), (7, 4), 56),
        (jl.GroupNormalization(2), (7, 4), 56),
        (jl.SpectralNormalization(jl.Dense(3)), (7, 4), 168),
        (jl.Rescaling(2.0), (7, 4), 56),
        (jl.Normalization(), (7, 4), 56),
    ],
    ids=str,
)
def test_flops(layer: jl.Layer, shape: Any, flops: int) -> None:
    assert layer.flops(shape) == flops


OPTIONS = [
    (
        lambda: jl.BatchNormalization([1, 2]),
        "BatchNormalization: axis must be an integer or a list of one integer, got [1, 2]",
    ),
    (
        lambda: jl.BatchNormalization(inputs=("mask",)),
        "BatchNormalization: inputs must be ('sequence',) or ('sequence', 'mask'), got ('mask',)",
    ),
    (
        lambda: jl.LayerNormalization("last"),
        "LayerNormalization: axis must be an integer or a list of integers, got 'last'",
    ),
    (
        lambda: jl.UnitNormalization([]),
        "UnitNormalization: axis must be an integer or a list of integers, got []",
    ),
    (
        lambda: jl.GroupNormalization(0),
        "GroupNormalization: groups must be an integer of at least 1, or -1, got 0",
    ),
    (
        lambda: jl.SpectralNormalization(jl.Dense(3), 0),
        "SpectralNormalization: power_iterations must be an integer of at least 1, got 0",
    ),
    (lambda: jl.SpectralNormalization("dense"), "SpectralNormalization: layer must be a layer, got 'dense'"),
    (
        lambda: jl.Rescaling([[1], [1, 2]]),
        "Rescaling: scale must be a number or nested lists of numbers, got [[1], [1, 2]]",
    ),
    (lambda: jl.Rescaling(1, "1"), "Rescaling: offset must be a number or nested lists of numbers, got '1'"),
    (
        lambda: jl.Normalization(mean=1.0),
        "Normalization: mean and variance must both be given or both be None, got mean=1.0 and variance=None",
    ),
    (
        lambda: jl.Normalization(mean=[1.0], variance=2.0),
        "Normalization: mean and variance must have the same shape, got (1,) and ()",
    ),
]

SHAPES = [
    (
        jl.BatchNormalization(0),
        (7, 4),
        "BatchNormalization: axis=0 must be distinct axes of the input other than 0, the batch, got shape (7, 4) after "
        "the batch axis",
    ),
    (
        jl.BatchNormalization(1),
        (None, 4),
        "BatchNormalization needs an input whose size along axis=1 is known, got shape (None, 4)",
    ),
    (
        MASKED,
        ((7, 4), (7, 4)),
        "BatchNormalization needs a value and a mask of its shape without the last axis, got shapes ((7, 4), (7, 4))",
    ),
    (
        jl.LayerNormalization([2, -1]),
        (7, 4),
        "LayerNormalization: axis=(-1, 2) must be distinct axes of the input other than 0, the batch, got shape (7, 4) "
        "after the batch axis",
    ),
    (
        jl.RMSNormalization(1),
        (7, 4),
        "RMSNormalization: the scale along axis=1, of shape (7,), does not broadcast to the last axes of an input of "
        "shape (7, 4)",
    ),
    (
        jl.GroupNormalization(3),
        (7, 4),
        "GroupNormalization: groups=3 must divide the size 4 of axis=-1 of an input of shape (7, 4)",
    ),
    (
        jl.SpectralNormalization(jl.Activation("relu")),
        (7, 4),
        "SpectralNormalization: layer must have a kernel or embeddings, got Activation('relu')",
    ),
    (
        jl.Rescaling([1, 2, 3]),
        (7, 4),
        "Rescaling: scale of shape (3,) does not broadcast to the last axes of an input of shape (7, 4)",
    ),
    (
        jl.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0]),
        (7, 4),
        "Normalization: mean of shape (2,) does not broadcast to the sizes (4,) of axis=-1",
    ),
]


@pytest.mark.parametrize(("make", "message"), OPTIONS)
def test_invalid_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(("layer", "shape", "message"), SHAPES)
def test_invalid_shapes_are_refused(layer: jl.Layer, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer.output_shape(shape)
