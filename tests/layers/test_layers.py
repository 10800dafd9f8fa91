"""Layers, with all options that change values, agree with their NumPy references; training and init are Keras's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv
from jconv import layers as jl
from tests.support.layer_checks import arrays_of, check_against_reference, deviation, drawn

LAYERS: dict[str, tuple[jl.Layer, Any]] = {
    "conv": (jl.Conv1D(5, 3), (11, 4)),
    "conv_stride_same": (jl.Conv1D(5, 4, 3, "same"), (11, 4)),
    "conv_causal_dilated": (jl.Conv1D(5, 3, padding="causal", dilation=2, activation="relu", use_bias=False), (11, 4)),
    "conv_groups": (jl.Conv1D(6, 3, groups=2), (11, 4)),
    "depthwise": (jl.DepthwiseConv1D(3, depth_multiplier=2, padding="same", activation="tanh"), (11, 4)),
    "depthwise_stride": (jl.DepthwiseConv1D(4, stride=2, use_bias=False), (11, 4)),
    "separable": (
        jl.SeparableConv1D(6, 3, depth_multiplier=2, stride=2, padding="same", activation="softmax"),
        (11, 4),
    ),
    "separable_dilated": (jl.SeparableConv1D(6, 3, dilation=2, use_bias=False), (11, 4)),
    "transpose": (jl.Conv1DTranspose(5, 4, stride=3), (7, 4)),
    "transpose_same": (jl.Conv1DTranspose(5, 3, stride=2, padding="same", activation="elu", use_bias=False), (7, 4)),
    "transpose_output_padding": (jl.Conv1DTranspose(5, 4, stride=3, padding="same", output_padding=2), (7, 4)),
    "transpose_dilated": (jl.Conv1DTranspose(5, 3, dilation=2), (7, 4)),
    "dense": (jl.Dense(5), (4,)),
    "dense_sequence": (jl.Dense(5, activation="softplus", use_bias=False), (7, 4)),
    "batch_norm": (jl.BatchNormalization(), (7, 4)),
    "batch_norm_epsilon": (jl.BatchNormalization(epsilon=0.1, center=False), (7, 4)),
    "batch_norm_no_scale": (jl.BatchNormalization(scale=False), (4,)),
    "activation": (jl.Activation("gelu"), (7, 4)),
    "dropout": (jl.Dropout(0.5), (7, 4)),
    "max": (jl.MaxPooling1D(), (7, 4)),
    "max_stride_same": (jl.MaxPooling1D(3, 2, "same"), (8, 4)),
    "max_long": (jl.MaxPooling1D(13, 2), (30, 4)),
    "max_long_same": (jl.MaxPooling1D(16, 3, "same"), (30, 4)),
    "average": (jl.AveragePooling1D(), (7, 4)),
    "average_stride_same": (jl.AveragePooling1D(4, 3, "same"), (8, 4)),
    "global_average": (jl.GlobalAveragePooling1D(), (7, 4)),
    "global_average_kept": (jl.GlobalAveragePooling1D(keepdims=True), (7, 4)),
    "global_max": (jl.GlobalMaxPooling1D(), (7, 4)),
    "global_max_kept": (jl.GlobalMaxPooling1D(keepdims=True), (7, 4)),
    "zero_padding": (jl.ZeroPadding1D(), (7, 4)),
    "zero_padding_pair": (jl.ZeroPadding1D((2, 0)), (7, 4)),
    "flatten": (jl.Flatten(), (7, 4)),
    "add": (jl.Add(), ((7, 4), (7, 4), (1, 4))),
    "concatenate": (jl.Concatenate(), ((7, 4), (7, 2))),
    "concatenate_length": (jl.Concatenate(axis=1), ((7, 4), (3, 4))),
}

# Options that Keras does not have.
JCONV_ONLY: dict[str, tuple[jl.Layer, Any]] = {
    "conv_stride_dilation": (jl.Conv1D(5, 3, stride=2, dilation=3, padding="full"), (11, 4)),
    "conv_pair_reflect": (jl.Conv1D(5, 3, padding=(2, 1), padding_mode="reflect"), (11, 4)),
    "conv_number_wrap": (jl.Conv1D(5, 3, padding=2, padding_mode="wrap", algorithm="einsum"), (11, 4)),
    "conv_glu": (jl.Conv1D(6, 3, activation="glu"), (11, 4)),
    "depthwise_edge": (jl.DepthwiseConv1D(3, padding="same", padding_mode="edge", dilation=2), (11, 4)),
    "separable_causal": (jl.SeparableConv1D(6, 3, padding="causal", activation="relu"), (11, 4)),
    "transpose_stride_dilation": (jl.Conv1DTranspose(5, 3, stride=2, dilation=2, padding="same"), (7, 4)),
    "dense_glu": (jl.Dense(6, activation="glu"), (4,)),
    "batch_norm_bare": (jl.BatchNormalization(center=False, scale=False), (7, 4)),
    "activation_glu": (jl.Activation("glu"), (7, 4)),
}
ALL = LAYERS | JCONV_ONLY


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("name", ALL)
def test_values_and_derivatives_equal_the_reference(name: str) -> None:
    check_against_reference(*ALL[name])


INITIALIZED = {
    "conv": (jl.Conv1D(64, 5, groups=2), lambda: kl.Conv1D(64, 5, groups=2), (9, 96)),
    "depthwise": (jl.DepthwiseConv1D(7, 3), lambda: kl.DepthwiseConv1D(7, depth_multiplier=3), (9, 640)),
    "separable": (jl.SeparableConv1D(96, 7, 3), lambda: kl.SeparableConv1D(96, 7, depth_multiplier=3), (9, 640)),
    "transpose": (jl.Conv1DTranspose(64, 5), lambda: kl.Conv1DTranspose(64, 5), (9, 96)),
    "dense": (jl.Dense(64), lambda: kl.Dense(64), (128,)),
}


@pytest.mark.parametrize("name", INITIALIZED)
def test_init_draws_in_the_range_of_keras(name: str) -> None:
    layer, make, shape = INITIALIZED[name]
    theirs = make()
    theirs.build((None, *shape))
    params, state = layer.init(jax.random.key(3), shape)
    assert state == {}
    assert list(params) == [w.name for w in theirs.weights]
    for weight in theirs.weights:
        array, keras_array = np.asarray(params[weight.name]), np.asarray(weight.value)
        assert array.dtype == np.float32
        if weight.name == "bias":
            assert not array.any()
            continue
        # The largest of n uniform draws is within about 1/n of the limit; there are thousands of draws.
        assert np.abs(array).max() == pytest.approx(np.abs(keras_array).max(), rel=5e-3)
        assert array.std() == pytest.approx(keras_array.std(), rel=0.03)


def test_init_of_conv_is_init_conv1d() -> None:
    key = jax.random.key(5)
    params, _ = jl.Conv1D(6, 3, groups=2).init(key, (None, 4))
    expected = jconv.init_conv1d(key, 4, 6, 3, groups=2)
    assert all((params[name] == expected[name]).all() for name in ("kernel", "bias"))


def test_init_of_separable_draws_two_kernels() -> None:
    params, _ = jl.SeparableConv1D(4, 1).init(jax.random.key(0), (None, 4))
    assert not np.allclose(params["depthwise_kernel"].ravel(), params["pointwise_kernel"].ravel()[:4])


def test_init_of_batch_normalization() -> None:
    params, state = jl.BatchNormalization().init(jax.random.key(0), (None, 3))
    lists = {name: array.tolist() for name, array in (params | state).items()}
    assert lists == {"gamma": [1] * 3, "beta": [0] * 3, "moving_mean": [0] * 3, "moving_variance": [1] * 3}


@pytest.mark.parametrize("shape", [(7, 4), (4,)])
def test_batch_normalization_trains_as_keras(shape: tuple[int, ...]) -> None:
    layer, theirs = jl.BatchNormalization(momentum=0.9), kl.BatchNormalization(momentum=0.9)
    theirs.build((None, *shape))
    params, state = layer.init(jax.random.key(0), shape)
    for step in range(3):
        x = np.float32(3 + 2 * drawn(shape, batch=5, seed=step))
        y, state = layer.apply(params, state, x, training=True)
        assert deviation(y, theirs(x, training=True)) < 2e-6
        for name in ("moving_mean", "moving_variance"):
            assert deviation(state[name], getattr(theirs, name)) < 2e-6
    assert deviation(layer.apply(params, state, x)[0], theirs(x)) < 2e-6


def test_batch_normalization_in_training_equals_reference() -> None:
    layer = jl.BatchNormalization()
    params, state = arrays_of(layer, (7, 4))
    x, dx = 5 + drawn((7, 4)), drawn((7, 4), seed=2)
    with jax.enable_x64(True):
        y, dy = jax.jvp(lambda x: layer.apply(params, state, x, training=True)[0], (x,), (dx,))
    assert deviation(y, layer.reference(params, state, x, training=True)) < 1e-13
    step = layer.reference(params, state, x + 1e-30j * dx, training=True).imag / 1e-30
    assert deviation(dy, step) < 1e-12


def test_batch_normalization_of_16_bit_floats_computes_in_float32() -> None:
    layer = jl.BatchNormalization()
    params, state = layer.init(jax.random.key(0), (None, 2))
    float16_params = jax.tree.map(lambda a: a.astype(jnp.float16), params)
    # The squares overflow float16, and a mean in float16 of 4096 values near 300 would be far off.
    x = jnp.asarray(300 + 200 * drawn((4096, 2), batch=1), jnp.float16)
    y, after = layer.apply(float16_params, state, x, training=True)
    assert y.dtype == jnp.float16 and after["moving_mean"].dtype == jnp.float32
    exact, _ = layer.apply(params, state, x.astype(jnp.float32), training=True)
    assert deviation(y.astype(jnp.float32), exact) < 1e-3


def test_dropout_rescales_and_depends_on_the_key() -> None:
    layer, x, key = jl.Dropout(0.25), jnp.ones((100, 100)), jax.random.key(1)
    y, _ = layer.apply({}, {}, x, training=True, key=key)
    assert sorted(set(y.ravel().tolist())) == [0.0, pytest.approx(4 / 3)]
    assert float((y == 0).mean()) == pytest.approx(0.25, abs=0.02)
    again, _ = layer.apply({}, {}, x, training=True, key=key)
    other, _ = layer.apply({}, {}, x, training=True, key=jax.random.key(2))
    assert (y == again).all() and not (y == other).all()
    assert (layer.apply({}, {}, x, key=key)[0] == x).all()


def test_dropout_with_rates_1_and_0() -> None:
    x, key = jnp.ones((2, 3)), jax.random.key(1)
    grad = jax.grad(lambda x: jl.Dropout(1.0).apply({}, {}, x, training=True, key=key)[0].sum())(x)
    assert (grad == 0).all()
    assert (jl.Dropout(0.0).apply({}, {}, x, training=True)[0] == x).all()
    assert (jl.Dropout(0).reference({}, {}, x, training=True) == 1).all()


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("size", "stride"), [(2, 1), (8, 3), (9, 1), (21, 21)])
def test_the_gradient_of_max_pooling_goes_to_the_first_of_ties_as_in_keras(size: int, stride: int) -> None:
    x = np.float32(np.random.default_rng(0).integers(0, 3, (2, 40, 3)))
    layer = jl.MaxPooling1D(size, stride)
    ours = jax.jit(jax.grad(lambda x: (layer.apply({}, {}, x)[0] ** 2).sum()))(x)
    theirs = jax.jit(jax.grad(lambda x: (keras.ops.max_pool(x, size, stride) ** 2).sum()))(x)
    assert (ours == theirs).all()
    # The reference agrees on ties too.
    dx = drawn((40, 3), batch=2)
    step = layer.reference({}, {}, x + 1e-30j * dx).imag / 1e-30
    dy = jax.jit(lambda x, dx: jax.jvp(lambda x: layer.apply({}, {}, x)[0], (x,), (dx,))[1])(x, np.float32(dx))
    assert deviation(dy, step) < 1e-6


@pytest.mark.parametrize("size", [3, 12])
def test_max_pooling_propagates_nan(size: int) -> None:
    x = drawn((24, 1), batch=1)
    x[0, 13] = np.nan
    y = np.asarray(jax.jit(jl.MaxPooling1D(size).apply)({}, {}, np.float32(x))[0])
    assert np.isnan(y).sum() == 1
    assert np.isnan(jl.MaxPooling1D(size).reference({}, {}, x)).sum() == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_16_bit_floats_accumulate_in_float32(dtype: Any) -> None:
    # Sums of 4096 ones stop at 256 in bfloat16 and at 2048 in float16.
    ones = jnp.ones((1, 4096), dtype)
    y, _ = jl.Dense(1, use_bias=False).apply({"kernel": jnp.ones((4096, 1), dtype)}, {}, ones)
    assert y.dtype == dtype and float(y[0, 0]) == 4096
    for layer in (jl.AveragePooling1D(4096), jl.GlobalAveragePooling1D()):
        y, _ = layer.apply({}, {}, ones[..., None])
        assert y.dtype == dtype and float(y.ravel()[0]) == 1


def test_activation_may_be_a_function() -> None:
    layer = jl.Activation(lambda x: x * x + 1)
    x = drawn((3, 2))
    assert deviation(layer.apply({}, {}, np.float32(x))[0], layer.reference({}, {}, x)) < 1e-6
    assert layer.output_shape((3, 2)) == (3, 2)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.Conv1D(6, 3, stride=2, groups=2), (11, 4), 2 * 5 * 3 * 2 * 6),
        (jl.DepthwiseConv1D(3, 2, padding="same"), (11, 4), 2 * 11 * 3 * 4 * 2),
        (jl.SeparableConv1D(6, 3, 2), (11, 4), 2 * 9 * (3 * 8 + 8 * 6)),
        (jl.Conv1DTranspose(5, 4, stride=3), (7, 4), 2 * 7 * 4 * 4 * 5),
        (jl.Dense(5), (7, 4), 2 * 7 * 4 * 5),
        (jl.BatchNormalization(), (7, 4), 2 * 7 * 4),
        (jl.MaxPooling1D(), (7, 4), 0),
    ],
    ids=str,
)
def test_flops(layer: jl.Layer, shape: Any, expected: int) -> None:
    assert layer.flops(shape) == expected


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.Conv1D(6, 3, stride=2, padding="same"), (None, 4), (None, 6)),
        (jl.Conv1D(6, 3, activation="glu"), (None, 4), (None, 3)),
        (jl.Conv1DTranspose(6, 3), (None, 4), (None, 6)),
        (jl.MaxPooling1D(), (None, 4), (None, 4)),
        (jl.GlobalAveragePooling1D(), (None, 4), (4,)),
        (jl.ZeroPadding1D(), (None, 4), (None, 4)),
        (jl.Flatten(), (None, 4), (None,)),
        (jl.Add(), ((None, 4), (None, 4)), (None, 4)),
        (jl.Add(), ((None, 4), (7, 1)), (7, 4)),
        (jl.Concatenate(), ((None, 4), (7, 2)), (7, 6)),
        (jl.Concatenate(axis=-2), ((None, 4), (7, 4)), (None, 4)),
    ],
    ids=str,
)
def test_unknown_lengths(layer: jl.Layer, shape: Any, expected: Any) -> None:
    assert layer.output_shape(shape) == expected


def test_layers_are_hashable_and_print_their_options() -> None:
    layer = jl.Conv1D(6, 3, padding=[1, 2], activation="relu")
    assert hash(layer) == hash(jl.Conv1D(6, 3, padding=(1, 2), activation="relu"))
    assert str(layer) == "Conv1D(6, 3, padding=(1, 2), activation='relu')"
    assert str(jl.Activation(jnp.tanh)) == "Activation(tanh)"
    assert str(jl.ZeroPadding1D([1, 2])) == "ZeroPadding1D(padding=(1, 2))"
