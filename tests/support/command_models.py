"""Small files for the tests of the `jconv` command, made by real Keras."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
from keras import layers as kl
from keras import ops

from tests.support.keras_files import randomize


def save(model: Any, path: Path) -> Path:
    randomize(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def series(folder: Path) -> Path:
    """One input of unknown length, one output: convolutions, operations, a head."""
    x = keras.Input((None, 4), name="series")
    y = kl.Conv1D(6, 4, strides=2, padding="same", activation="relu", name="patch")(x)
    y = kl.SeparableConv1D(6, 3, padding="same", name="separable")(y)
    y = ops.relu(y * 2.0 + 1.5)[:, :, 1:]
    y = kl.BatchNormalization(name="norm")(y)
    y = kl.GlobalAveragePooling1D(name="mean")(y)
    return save(keras.Model(x, kl.Dense(3, name="head")(y)), folder / "series.keras")


def words(folder: Path) -> Path:
    """Two inputs, one of integers, and two outputs; the length is fixed."""
    numbers, features = keras.Input((8,), dtype="int32", name="numbers"), keras.Input((8, 2), name="features")
    y = kl.Concatenate(name="join")([kl.Embedding(10, 4, name="table")(numbers), features])
    y = kl.Conv1D(5, 3, padding="same", name="conv")(y)
    outputs = [y, kl.Dense(2, name="head")(kl.Flatten(name="flat")(y))]
    return save(keras.Model([numbers, features], outputs), folder / "words.keras")


def halving(folder: Path) -> Path:
    """A network that takes only lengths that are multiples of 4."""
    x = keras.Input((None, 2), name="x")
    y = kl.AveragePooling1D(2)(kl.MaxPooling1D(2)(x))
    return save(keras.Model(x, kl.Concatenate(name="join")([x, kl.UpSampling1D(4)(y)])), folder / "halving.keras")


def bfloat16(folder: Path) -> Path:
    """A layer that computes in bfloat16."""
    x = keras.Input((12, 3), name="x")
    y = kl.Conv1D(4, 3, dtype="mixed_bfloat16", name="conv")(x)
    return save(keras.Model(x, y), folder / "bfloat16.keras")


def causal(folder: Path) -> Path:
    """A causal network with one output for each sample."""
    x = keras.Input((None, 3), name="x")
    y = kl.Conv1D(6, 3, padding="causal", dilation_rate=4, activation="relu", name="far")(x)
    y = kl.BatchNormalization(name="norm")(kl.Conv1D(4, 2, padding="causal", name="near")(y))
    return save(keras.Model(x, kl.LSTM(3, return_sequences=True, name="lstm")(y)), folder / "causal.keras")


def late(folder: Path) -> Path:
    """A network with padding on both sides, strides, and branches of unequal delay."""
    x = keras.Input((None, 3), name="x")
    y = kl.Conv1D(6, 5, padding="same", activation="relu", name="wide")(x)
    y = kl.Add(name="sum")([y, kl.Conv1D(6, 3, padding="causal", name="causal")(x)])
    y = kl.MaxPooling1D(2, name="pool")(y)
    y = kl.DepthwiseConv1D(3, padding="same", name="depthwise")(y)
    y = kl.Conv1D(4, 4, strides=2, padding="same", name="strided")(y)
    return save(keras.Model(x, kl.Conv1DTranspose(2, 3, strides=2, name="up")(y)), folder / "late.keras")


def sentence(folder: Path) -> Path:
    """Two inputs, one of integers, and two outputs: one for each sample, and one that averages all samples."""
    numbers, features = keras.Input((None,), dtype="int32", name="numbers"), keras.Input((None, 2), name="features")
    y = kl.Concatenate(name="join")([kl.Embedding(10, 4, name="table")(numbers), features])
    y = kl.Conv1D(5, 3, padding="same", name="conv")(y)
    outputs = [y, kl.Dense(2, name="head")(kl.GlobalAveragePooling1D(name="mean")(y))]
    return save(keras.Model([numbers, features], outputs), folder / "sentence.keras")


def channels_first(folder: Path) -> Path:
    """A network whose input has the shape (channels, length)."""
    x = keras.Input((3, None), name="x")
    y = kl.Conv1D(4, 3, padding="same", data_format="channels_first", name="conv")(x)
    y = kl.AveragePooling1D(2, data_format="channels_first", name="pool")(y)
    return save(keras.Model(x, y), folder / "channels_first.keras")
