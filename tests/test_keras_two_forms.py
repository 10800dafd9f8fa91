"""Forms of files that Keras 2 wrote at some time in its life, made here from what Keras 3 writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import jax
import keras
import pytest
from keras import layers as kl
from keras_files import deviation, drawn, keras_function, randomize, save
from keras_two import as_keras_two

import jconv.keras

pytestmark = pytest.mark.usefixtures("quick_compile", "quick_weights")


def with_lists(entry: Any) -> Any:
    """A config with the list of its layers as the config of each Sequential model, as before Keras 2.2.3.

    The first of them has the shape of the model's input.
    """
    if isinstance(entry, list):
        return [with_lists(part) for part in entry]
    if not isinstance(entry, dict):
        return entry
    made = {key: with_lists(value) for key, value in entry.items()}
    if made.get("class_name") == "Sequential":
        first, *made["config"] = made["config"]["layers"]
        assert first["class_name"] == "InputLayer"
        made["config"][0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
    if made.get("class_name") == "GRU":
        # As before Keras 2.1.1, which had no other.
        assert made["config"].pop("reset_after") is False
    return made


def changed(path: Path, change: Any, **attributes: Any) -> Path:
    """The file with another config and other attributes; None removes one."""
    with h5py.File(path, "r+") as opened:
        file: Any = opened
        config = change(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(config).encode()
        for name, value in attributes.items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value
    return path


@pytest.mark.parametrize("version", [b"2.1.6", None])
def test_sequential_models_whose_config_is_a_list(version: bytes | None, tmp_path: Path) -> None:
    """Keras 2.0 to 2.2.2; where the version is missing the list itself says that it is Keras 2."""
    encoder = keras.Sequential([keras.Input((9, 5)), kl.Conv1D(4, 3, activation="relu"), kl.BatchNormalization()])
    step = keras.Sequential([keras.Input((4,)), kl.Dense(5, activation="tanh")])
    model = keras.Sequential(
        [
            keras.Input((9, 3)),
            kl.Conv1D(5, 3, padding="same"),
            encoder,
            kl.GRU(4, reset_after=False, return_sequences=True),
            kl.TimeDistributed(step),
            kl.LSTM(3),
            kl.Dense(2, activation="softmax"),
        ]
    )
    randomize(model)
    x = drawn(model)
    (expected,) = jax.jit(keras_function(model))(x)
    path = tmp_path / "old.h5"
    as_keras_two(save(model, tmp_path / "new.h5"), path)
    changed(path, with_lists, keras_version=version)
    ours, params, state = jconv.keras.load(path)
    assert deviation(jax.jit(ours.apply)(params, state, x[0])[0], expected) < 1e-5
    params, state = jconv.keras.load_weights(path, ours)
    assert deviation(jax.jit(ours.apply)(params, state, x[0])[0], expected) < 1e-5
