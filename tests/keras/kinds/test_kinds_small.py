"""Configs of small layers of Keras 2 and 3, converted to layers and back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from keras import layers as kl

from jconv import layers as jl
from jconv.keras.files.errors import KerasFileError
from jconv.keras.kinds import KINDS
from jconv.keras.kinds.config import Config


def read(name: str, config: dict[str, Any]) -> tuple[Any, list[str]]:
    """The layer of a config, and the keys that were not read."""
    found = Config(config, f"a {name}")
    return KINDS[name].make(found, None), found.unused_keys()  # pyright: ignore[reportArgumentType]


# Configs of Keras 2, without the keys that every layer has.
OLDER: list[tuple[str, dict[str, Any], jl.Layer]] = [
    ("LeakyReLU", {"alpha": 0.1}, jl.LeakyReLU(0.1)),
    ("LeakyReLU", {}, jl.LeakyReLU(0.3)),
    ("ThresholdedReLU", {"theta": 0.5}, jl.ReLU(threshold=0.5)),
    ("ReLU", {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}, jl.ReLU(6.0)),
    ("PReLU", {"shared_axes": [1]}, jl.PReLU((1,))),
    ("SpatialDropout1D", {"rate": 0.5, "noise_shape": None}, jl.SpatialDropout1D(0.5)),
    ("AlphaDropout", {"rate": 0.5}, jl.AlphaDropout(0.5)),
    ("Masking", {"mask_value": {"class_name": "__numpy__", "config": {"value": 0.5}}}, jl.Masking(0.5)),
    ("GlobalMaxPooling1D", {}, jl.GlobalMaxPooling1D()),
    ("MaxPooling1D", {"pool_size": [2], "strides": [1], "padding": "same"}, jl.MaxPooling1D(2, 1, "same")),
    ("MaxPooling1D", {"pool_size": 2, "strides": None, "padding": "same"}, jl.MaxPooling1D(2, None, "same")),
    ("ZeroPadding1D", {"padding": 2}, jl.ZeroPadding1D(2)),
    ("Cropping1D", {"cropping": [1, 0]}, jl.Cropping1D((1, 0))),
    (
        "SeparableConv1D",
        {"filters": 4, "kernel_size": [3], "groups": 1, "activation": "linear"},
        jl.SeparableConv1D(4, 3, activation="linear"),
    ),
    ("Conv1DTranspose", {"filters": 4, "kernel_size": [3], "groups": 1}, jl.Conv1DTranspose(4, 3)),
]


@pytest.mark.parametrize(("name", "config", "layer"), OLDER, ids=[f"{n} {c}" for n, c, _ in OLDER])
def test_configs_of_keras_2_are_read(name: str, config: dict[str, Any], layer: jl.Layer) -> None:
    assert read(name, config) == (layer, [])


LAYERS: list[jl.Layer] = [
    jl.ReLU(6.0, 0.1, 0.2),
    jl.LeakyReLU(0.1),
    jl.ELU(0.5),
    jl.PReLU((1,)),
    jl.PReLU(),
    jl.Softmax((1, 2)),
    jl.Activation("tanh"),
    jl.Dense(3, "relu", False),
    jl.MaxPooling1D(3),
    jl.AveragePooling1D(3, 2, "same"),
    jl.GlobalAveragePooling1D(True),
    jl.GlobalMaxPooling1D(),
    jl.AdaptiveMaxPooling1D(3),
    jl.AdaptiveAveragePooling1D(3),
    jl.Dropout(0.2, (None, 1, 3)),
    jl.AlphaDropout(0.2, (None, 1, 3)),
    jl.SpatialDropout1D(0.2),
    jl.GaussianDropout(0.2),
    jl.GaussianNoise(0.2),
    jl.ActivityRegularization(0.1, 0.2),
    jl.ZeroPadding1D((1, 2)),
    jl.Cropping1D((1, 2)),
    jl.UpSampling1D(3),
    jl.RepeatVector(3),
    jl.Permute((2, 1)),
    jl.Reshape((-1, 2)),
    jl.Flatten(),
    jl.Masking(0.5),
    jl.Add(),
    jl.Subtract(),
    jl.Multiply(),
    jl.Average(),
    jl.Maximum(),
    jl.Minimum(),
    jl.Concatenate(1),
    jl.Dot((1, 2), True),
    jl.Dot(-1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_layer_survives_a_round_trip_through_keras(layer: jl.Layer) -> None:
    name = type(layer).__name__
    config = KINDS[name].config(layer, None)  # pyright: ignore[reportArgumentType]
    theirs = getattr(kl, name).from_config(config)
    found, unused = read(name, json.loads(json.dumps(theirs.get_config())))
    assert found == (layer if name != "MaxPooling1D" else jl.MaxPooling1D(3, 3))
    common = r"name|trainable|dtype|seed|data_format|quantization_config|\w+_(initializer|regularizer|constraint)"
    assert [key for key in unused if not re.fullmatch(common, key)] == []


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("Dense", {}, "a Dense: units is missing"),
    ("Dense", {"units": 0}, "a Dense: units must be an integer of at least 1, got 0"),
    ("ReLU", {"max_value": "6"}, "a ReLU: max_value must be a finite number, got '6'"),
    (
        "Activation",
        {"activation": "rely"},
        "a Activation: activation must be the name of one of Keras's activations, or be in "
        "custom_activations={name: activation}, got 'rely'",
    ),
    (
        "DepthwiseConv1D",
        {"kernel_size": [3], "groups": 2},
        "a DepthwiseConv1D: groups must be 1; jconv supports no other value here, got 2",
    ),
    (
        "SpatialDropout1D",
        {"rate": 0.5, "noise_shape": [None, 1, 3]},
        "a SpatialDropout1D: noise_shape must be None; jconv supports no other value here, got [None, 1, 3]",
    ),
    ("Masking", {"mask_value": [0, 1]}, "a Masking: mask_value must be a finite number, got [0, 1]"),
    ("Reshape", {"target_shape": 4}, "a Reshape: target_shape must be a list, got 4"),
]


@pytest.mark.parametrize(("name", "config", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_invalid_configs_are_refused(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(KerasFileError, match=f"^{re.escape(message)}$"):
        read(name, config)
