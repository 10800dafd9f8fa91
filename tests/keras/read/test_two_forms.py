"""Forms of files that versions of Keras 2 wrote, made here from files of Keras 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import jax
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from tests.support.keras_files import deviation, drawn, keras_function, randomize, save
from tests.support.keras_two import as_keras_two

pytestmark = pytest.mark.usefixtures("quick_compile", "quick_weights")


def with_lists(entry: Any) -> Any:
    """A config with the list of its layers as the config of each Sequential model, as before Keras 2.2.3.

    The first of them has the shape of the model's input.
    """
    if isinstance(entry, list):
        return [with_lists(part) for part in entry]
    if not isinstance(entry, dict):
        return entry
    made: dict[str, Any] = {key: with_lists(value) for key, value in entry.items()}
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


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("version", [b"2.1.6", None])
def test_sequential_models_whose_config_is_a_list(version: bytes | None, tmp_path: Path) -> None:
    """Files of Keras 2.0 to 2.2.2; without a version, the list identifies Keras 2."""
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


def test_an_embedding_of_keras_2_0_2_has_the_type_of_its_indices(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((7,)), kl.Embedding(9, 4), kl.LSTM(3)])
    randomize(model)
    x = np.random.default_rng(0).integers(0, 9, (2, 7))
    expected = np.asarray(model(x))
    path = tmp_path / "old.h5"
    as_keras_two(save(model, tmp_path / "new.h5"), path)

    def with_type(config: Any) -> Any:
        made = with_lists(config)
        made["config"][0]["config"]["dtype"] = "int32"
        return made

    changed(path, with_type, keras_version=b"2.0.2")
    ours, params, state = jconv.keras.load(path)
    y = jax.jit(ours.apply)(params, state, x)[0]
    assert y.dtype == np.float32
    assert deviation(y, expected) < 1e-5


def modes() -> Any:
    """A network with a model inside it; `with_modes` sets the training modes of its calls, as in Keras 2."""
    inner_x = keras.Input((6, 3))
    inner_y = kl.Dropout(0.5, name="own")(kl.BatchNormalization(name="inside")(inner_x))
    inner = keras.Model(inner_x, inner_y, name="inner")
    x = keras.Input((6, 3), name="x")
    outputs = [
        kl.Dropout(0.5, name="always")(x),
        kl.Dropout(0.5, name="usual")(x),
        kl.BatchNormalization(name="never")(x),
        inner(x),
        kl.Conv1D(2, 3, name="conv")(x),
    ]
    return keras.Model(x, outputs)


def with_modes(config: Any) -> Any:
    training = {"always": True, "never": False, "inner": True, "conv": True}
    for entry in config["config"]["layers"]:
        if entry["name"] in training:
            entry["inbound_nodes"][0][0][3] = {"training": training[entry["name"]]}
        if entry["name"] == "inner":
            (own,) = (part for part in entry["config"]["layers"] if part["name"] == "own")
            own["inbound_nodes"][0][0][3] = {"training": False}
    return config


def test_training_argument_of_calls_in_keras_2(tmp_path: Path) -> None:
    """Monte Carlo dropout: `Dropout(0.5)(x, training=True)` is always active, and needs a key."""
    model = modes()
    randomize(model)
    path = tmp_path / "old.h5"
    as_keras_two(save(model, tmp_path / "new.h5"), path)
    read = ours, params, state = jconv.keras.load(changed(path, with_modes))
    x = np.float32(np.random.default_rng(0).standard_normal((50, 6, 3)))
    with pytest.raises(ValueError, match="needs a key, got None"):
        ours.apply(params, state, x)
    y, after = ours.apply(params, state, x, key=jax.random.key(0))
    dropped = np.asarray(y["always"]) == 0
    assert 0.4 < dropped.mean() < 0.6 and deviation(np.where(dropped, 0, 2 * x), y["always"]) < 1e-6
    assert np.array_equal(y["usual"], x)
    # The inner model is always in training: its normalization uses the batch, and its dropout has its own mode.
    normal = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-3)
    gamma, beta = (np.asarray(params["inner/inside"][name]) for name in ("gamma", "beta"))
    assert deviation(y["inner/own"], normal * gamma + beta) < 1e-5
    assert not np.array_equal(after["inner/inside"]["moving_mean"], state["inner/inside"]["moving_mean"])
    # Layers that are never in training are not, even in training.
    trained, after = ours.apply(params, state, x, training=True, key=jax.random.key(1))
    assert np.array_equal(trained["never"], y["never"]) and not np.array_equal(trained["usual"], x)
    assert np.array_equal(after["never"]["moving_mean"], state["never"]["moving_mean"])
    with pytest.raises(ValueError, match="always in training cannot be computed a chunk at a time"):
        ours.stream_init(params, state, (2,))
    with pytest.raises(jconv.keras.KerasFileError, match="a layer of Keras 3 is not always in training"):
        jconv.keras.save(tmp_path / "again.keras", *read)


def test_a_mode_that_is_no_mode_is_refused(tmp_path: Path) -> None:
    def change(config: Any) -> Any:
        config["config"]["layers"][1]["inbound_nodes"][0][0][3] = {"training": "often"}
        return config

    path = tmp_path / "old.h5"
    as_keras_two(save(modes(), tmp_path / "new.h5"), path)
    with pytest.raises(jconv.keras.KerasFileError, match="training must be true, false or null, got 'often'"):
        jconv.keras.load(changed(path, change))
