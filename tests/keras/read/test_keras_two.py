"""Files of Keras 2: networks with the same outputs as in Keras 3, and layers that Keras 2 defines differently."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import jax
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from tests.support.keras_crafted import functional, layer
from tests.support.keras_files import deviation, drawn, keras_function, randomize, returned_outputs, save
from tests.support.keras_networks import NETWORKS
from tests.support.keras_two import as_keras_two
from tests.support.paths import KERAS_TWO_FILES

pytestmark = pytest.mark.usefixtures("quick_weights")

# Networks without functions of `keras.ops`, which Keras 2 does not have.
NAMES = (
    "autoencoder",
    "channels_first",
    "cnn_lstm",
    "fcn",
    "keyword_spotter",
    "lstm_fcn",
    "masked_sequential",
    "masked_tagger",
    "multi_task",
    "prepared",
    "resnet",
)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", NAMES)
def test_equals_keras(name: str, tmp_path: Path) -> None:
    keras.utils.clear_session()
    model = NETWORKS[name]()
    randomize(model)
    x = drawn(model)
    expected = jax.jit(keras_function(model))(x)
    as_keras_two(save(model, tmp_path / "new.h5"), tmp_path / "old.h5")
    ours, params, state = jconv.keras.load(tmp_path / "old.h5")
    y = jax.jit(lambda params, x: ours.apply(params, state, x)[0])(params, dict(zip(ours.inputs, x, strict=True)))
    for have, want in zip([y[n] for n in ours.outputs] if isinstance(y, dict) else [y], expected, strict=True):
        assert deviation(have, want) < 1e-5


def gated(hard: Any) -> Any:
    """A model whose gates and activations are the function `hard`."""
    x = inputs = keras.Input((5, 3))
    x = kl.LSTM(4, recurrent_activation=hard, return_sequences=True)(x)
    x = kl.Bidirectional(kl.GRU(3, recurrent_activation=hard, return_sequences=True))(x)
    x = kl.TimeDistributed(kl.Dense(2, activation=hard))(kl.Conv1D(4, 2, activation=hard)(x))
    return keras.Model(inputs, kl.Activation(hard)(kl.Rescaling(9.0)(x)))


def keras_2_hard_sigmoid(x: Any) -> Any:
    return keras.ops.clip(0.2 * x + 0.5, 0, 1)


def test_hard_sigmoid_of_keras_2_survives_saving_for_keras_3(tmp_path: Path) -> None:
    model = gated("hard_sigmoid")
    with keras.saving.custom_object_scope({"keras_2_hard_sigmoid": keras_2_hard_sigmoid}):
        expected_model = gated(keras_2_hard_sigmoid)
    randomize(model)
    for theirs, own in zip(expected_model.weights, model.weights, strict=True):
        theirs.assign(own.value)
    x = drawn(model)
    (expected,) = jax.jit(keras_function(expected_model))(x)
    as_keras_two(save(model, tmp_path / "new.h5"), tmp_path / "old.h5")
    read = ours, params, state = jconv.keras.load(tmp_path / "old.h5")
    assert deviation(jax.jit(ours.apply)(params, state, x[0])[0], expected) < 1e-5
    assert deviation(ours.reference(params, state, x[0]), expected) < 1e-5
    # The file written for Keras 3 has the same outputs in Keras and in jconv, also after Keras has saved it again.
    (returned,) = returned_outputs(tmp_path, read, x)
    assert deviation(returned, expected) < 1e-5
    jconv.keras.save(tmp_path / "again.keras", *read)
    again = keras.models.load_model(tmp_path / "again.keras")
    for path in (tmp_path / "again.keras", save(again, tmp_path / "once_more.keras")):
        ours, params, state = jconv.keras.load(path)
        assert deviation(jax.jit(ours.apply)(params, state, x[0])[0], expected) < 1e-5


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.0.0", 1 / 6)])
def test_the_version_in_an_archive_selects_the_hard_sigmoid(version: str, slope: float, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), kl.Activation("hard_sigmoid")])
    with zipfile.ZipFile(save(model, tmp_path / "new.keras")) as source:
        members = {name: source.read(name) for name in source.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": version}).encode()
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as target:
        for name, data in members.items():
            target.writestr(name, data)
    ours, params, state = jconv.keras.load(tmp_path / "old.keras")
    assert ours.apply(params, state, np.float32([[1, -1, 0]]))[0][0].tolist() == pytest.approx(
        [0.5 + slope, 0.5 - slope, 0.5]
    )


def test_masks_are_merged_as_in_keras_2(tmp_path: Path) -> None:
    """In Keras 2 a merged mask is true where all masks are, and Multiply ignores masks."""
    first = layer("Masking", "first", {"mask_value": 0.0})
    second = layer("Masking", "second", {"mask_value": 1.0})
    layers = [first, second]
    for name in ("Add", "Multiply", "Maximum"):
        layers.append(layer(name, name, {"trainable": True}, reads=("first", "second", "in0")))
        layers.append(layer("GlobalAveragePooling1D", f"{name}_mean", reads=(name,)))
    outputs = [[name, 0, 0] for name in ("Add_mean", "Multiply", "Multiply_mean", "Maximum")]
    for entry in layers:
        entry["inbound_nodes"] = [
            [[n["config"]["keras_history"][0], 0, 0, {}] for n in entry["inbound_nodes"][0]["args"]]
        ]
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(functional(*layers, outputs=outputs, shape=(4, 1)))
        file.attrs["keras_version"] = "2.11.0"
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S")
    ours, params, state = jconv.keras.load(path)
    x = np.float32([0, 1, 2, 4])[None, :, None]
    y = ours.apply(params, state, x)[0]
    masked, other = x * (x != 0), x * (x != 1)
    valid = slice(2, None)
    assert y["Add_mean"][0, 0] == (masked + other + x)[0, valid].mean()
    assert (y["Multiply"] == masked * other * x).all()
    assert y["Multiply_mean"][0, 0] == (masked * other * x)[0, valid].mean()
    assert (y["Maximum"] == np.maximum(np.maximum(masked, other), x)).all()


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", ["network.h5", "network.keras"])
def test_files_of_keras_2_15_have_the_recorded_outputs(name: str, tmp_path: Path) -> None:
    """Outputs of Keras 2.15, also after saving for Keras 3; `keras_two_files/make_network.py` made the files."""
    folder = KERAS_TWO_FILES
    stored = np.load(folder / "outputs.npz")
    (tmp_path / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    read = ours, params, state = jconv.keras.load(tmp_path / name)
    x = [stored[name] for name in ours.inputs]
    y = jax.jit(ours.apply)(params, state, dict(zip(ours.inputs, x, strict=True)))[0]
    assert {name: deviation(y[name], stored[name]) < 1e-5 for name in ours.outputs} == dict.fromkeys(ours.outputs, True)
    valid = (stored["first"] != 0).any(-1)
    for name, have in zip(ours.outputs, returned_outputs(tmp_path, read, x), strict=True):
        # Attention outputs of masked queries are not compared, because they differ between versions of Keras.
        where = valid if name == "multi_head_attention" else ...
        assert deviation(np.asarray(have)[where], stored[name][where]) < 1e-5, name
