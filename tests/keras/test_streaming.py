"""Causal networks from real Keras have the same outputs when they are streamed."""

from __future__ import annotations

from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from keras import layers

import jconv.keras
from tests.support.keras_files import keras_function, randomize, save

pytestmark = pytest.mark.usefixtures("quick_weights")


def temporal() -> keras.Model:
    """A TCN (Bai et al., 2018) with batch normalization, an LSTM on its output, and a class for each sample."""
    x = signal = keras.Input((None, 3))
    for dilation in (1, 2, 4):
        y = layers.Conv1D(8, 3, padding="causal", dilation_rate=dilation)(x)
        y = layers.Activation("relu")(layers.BatchNormalization()(y))
        y = layers.Dropout(0.2)(y)
        x = layers.Add()([y, layers.Conv1D(8, 1)(x)])
    x = layers.LSTM(5, return_sequences=True)(x)
    return keras.Model(signal, layers.TimeDistributed(layers.Dense(4, activation="softmax"))(x))


def gated() -> keras.Model:
    """A WaveNet (van den Oord et al., 2016) with gates, skip connections, and a global average."""
    signal = keras.Input((None, 3))
    x, skips = layers.Conv1D(6, 2, padding="causal")(signal), []
    for dilation in (1, 2, 8):
        wide = layers.Conv1D(6, 2, padding="causal", dilation_rate=dilation, activation="tanh")(x)
        gate = layers.Conv1D(6, 2, padding="causal", dilation_rate=dilation, activation="sigmoid")(x)
        y = layers.Multiply()([wide, gate])
        skips.append(layers.Conv1D(4, 1)(y))
        x = x + layers.Conv1D(6, 1)(y)
    each = layers.Conv1D(2, 1, name="each")(keras.ops.relu(layers.Add()(skips)))
    return keras.Model(signal, [each, layers.Dense(2, name="all")(layers.GlobalAveragePooling1D()(each))])


def encoder() -> keras.Model:
    """Causal strided convolutions, an explicit padding, pooling, and a decoder to the input's rate."""
    x = signal = keras.Input((None, 3))
    x = layers.Conv1D(6, 4, strides=2, padding="causal", activation="elu")(x)
    x = layers.Conv1D(6, 3)(layers.ZeroPadding1D((2, 0))(x))
    x = layers.MaxPooling1D(2)(layers.PReLU(shared_axes=[1])(x))
    x = layers.UpSampling1D(2)(x)
    return keras.Model(signal, layers.Conv1DTranspose(3, 2, strides=2)(layers.GRU(5, return_sequences=True)(x)))


def test_a_channels_first_network_streams_the_outputs_of_keras(tmp_path: Path) -> None:
    first = {"data_format": "channels_first"}
    x = signal = keras.Input((3, None))
    for dilation in (1, 4):
        y = layers.Conv1D(8, 3, padding="causal", dilation_rate=dilation, **first)(x)
        y = layers.LeakyReLU()(layers.BatchNormalization(axis=1)(y))
        x = layers.Concatenate(axis=1)([y, x])
    each = layers.Conv1D(4, 1, **first)(layers.AveragePooling1D(2, **first)(x))
    network = keras.Model(signal, [each, layers.Dense(2)(layers.GlobalAveragePooling1D(**first)(each))])
    randomize(network)
    save(network, tmp_path / "model.keras")
    given = np.random.default_rng(0).normal(size=(2, 3, 24)).astype("float32")
    wanted = keras_function(network)([given])
    model, params, state = jconv.keras.load(tmp_path / "model.keras")
    stream, steps, step = model.stream_init(params, state, (2,)), [], jax.jit(model.stream_step)
    for begin in range(0, 24, 4):
        y, stream = step(params, state, stream, given[:, :, begin : begin + 4])
        steps.append([y[name] for name in model.outputs])
    for whole, found in zip(wanted, (np.concatenate([y[0] for y in steps], axis=2), steps[-1][1]), strict=True):
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("made", [temporal, gated, encoder])
def test_a_causal_network_streams_the_outputs_of_keras(made: object, suffix: str, tmp_path: Path) -> None:
    network = made()  # type: ignore[operator]
    rng = np.random.default_rng(0)
    randomize(network)
    save(network, tmp_path / f"model{suffix}")
    x = rng.normal(size=(2, 48, 3)).astype("float32")
    wanted = keras_function(network)([x])
    model, params, state = jconv.keras.load(tmp_path / f"model{suffix}")
    assert model.latency == 0 or made is encoder
    stream = model.stream_init(params, state, (2,))
    step = jax.jit(model.stream_step, static_argnames="last")
    steps, at = [], 0
    for length in (4, 1, 3, 0, 8, 4, 4, 24):
        y, stream = step(params, state, stream, x[:, at : at + length], last=at + length == 48)
        steps.append(y if isinstance(y, dict) else {model.outputs[0]: y})
        at += length
    for name, whole in zip(model.outputs, wanted, strict=True):
        found = [step[name] for step in steps]
        y = np.concatenate(found, axis=1) if whole.ndim == 3 else found[-1]
        np.testing.assert_allclose(y, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def embedded() -> keras.Model:
    """A mask of numbers above zero, which the sum passes on."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(ids)
    x = layers.Add()([x, layers.Dense(3)(x)])
    return keras.Model(ids, layers.LSTM(4, return_sequences=True)(x))


def masking() -> keras.Model:
    """A mask of steps that are not all zeros."""
    signal = keras.Input((None, 2))
    return keras.Model(signal, layers.GRU(4, return_sequences=True)(layers.Masking()(signal)))


@pytest.mark.parametrize("made", [embedded, masking])
def test_a_masked_network_streams_the_outputs_of_keras(made: object, tmp_path: Path) -> None:
    network = made()  # type: ignore[operator]
    randomize(network)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, 24)) if made is embedded else np.float32(rng.integers(0, 2, (2, 24, 2)))
    (wanted,) = keras_function(network)([x])
    model, params, state = read = jconv.keras.load(save(network, tmp_path / "model.keras"))
    stream = model.stream_init(params, state, (2,), dtype=x.dtype)
    step, outputs = jax.jit(model.stream_step), []
    for chunk in np.split(x, (3, 4, 12), axis=1):
        y, stream = step(params, state, stream, chunk)
        outputs.append(y)
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    jconv.keras.save(tmp_path / "again.keras", *read)
    again = keras_function(keras.models.load_model(tmp_path / "again.keras"))([x])
    np.testing.assert_allclose(again[0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
