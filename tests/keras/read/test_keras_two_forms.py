"""Forms of files that only some versions of Keras 2 wrote, made here by changing files of Keras 3."""

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

pytestmark = pytest.mark.usefixtures("quick_weights")


def with_lists(entry: Any) -> Any:
    """A config as before Keras 2.2.3: the config of each Sequential model is the list of its layers.

    The first layer has the shape of the model's input.
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
        # Before Keras 2.1.1 there was no `reset_after`, and every GRU computed as with `reset_after=False`.
        assert made["config"].pop("reset_after") is False
    return made


def changed(path: Path, change: Any, **attributes: Any) -> Path:
    """Change the config and the attributes of a file, in place; None removes an attribute. Returns the path."""
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
def test_sequential_models_whose_config_is_a_list_are_read(version: bytes | None, tmp_path: Path) -> None:
    """As in files of Keras 2.0 to 2.2.2. If the file has no version, the list identifies Keras 2."""
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


@pytest.mark.parametrize("first", ["sequential", "functional"])
@pytest.mark.parametrize("has_list", [True, False])
def test_a_sequential_model_that_begins_with_a_model_is_read(first: str, has_list: bool, tmp_path: Path) -> None:
    """Before TensorFlow 2.2, only the first layer of the inner model has the shape of the input."""
    x = inputs = keras.Input((9, 5), name="x")
    inner = [kl.Conv1D(4, 3, name="conv"), kl.LSTM(3, name="lstm")]
    for layer in inner:
        x = layer(x)
    encoder = keras.Model(inputs, x, name="encoder")
    if first == "sequential":
        encoder = keras.Sequential([inputs, *inner], name="encoder")
    model = keras.Sequential([keras.Input((9, 5)), encoder, kl.Dense(2, name="dense")])
    randomize(model)
    given = drawn(model)
    (expected,) = jax.jit(keras_function(model))(given)
    path = tmp_path / "old.h5"
    as_keras_two(save(model, tmp_path / "new.h5"), path)

    def without_input(config: Any) -> Any:
        _, nested, dense = config["config"]["layers"]
        if first == "sequential":
            _, *layers = nested["config"]["layers"]
            layers[0]["config"]["batch_input_shape"] = [None, 9, 5]
            nested["config"] = layers if has_list else {"name": "encoder", "layers": layers}
        layers = [nested, dense]
        return {"class_name": "Sequential", "config": layers if has_list else {"name": "model", "layers": layers}}

    changed(path, without_input, keras_version=b"2.1.6")
    ours, params, state = jconv.keras.load(path)
    assert ours.input_shapes == ((9, 5),)
    assert deviation(jax.jit(ours.apply)(params, state, given[0])[0], expected) < 1e-5


def test_an_embedding_with_the_dtype_of_its_indices_returns_float32(tmp_path: Path) -> None:
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


def dropout_network() -> Any:
    """A network with a nested model; `with_modes` sets the training arguments of its calls, as in Keras 2."""
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


def test_the_training_argument_of_a_call_determines_its_mode(tmp_path: Path) -> None:
    """Monte Carlo dropout: `Dropout(0.5)(x, training=True)` is always active, and needs a key."""
    model = dropout_network()
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
    # With training=True, the layer that was called with training=False still does not train.
    trained, after = ours.apply(params, state, x, training=True, key=jax.random.key(1))
    assert np.array_equal(trained["never"], y["never"]) and not np.array_equal(trained["usual"], x)
    assert np.array_equal(after["never"]["moving_mean"], state["never"]["moving_mean"])
    with pytest.raises(ValueError, match="always in training cannot be computed a chunk at a time"):
        ours.stream_init(params, state, (2,))
    with pytest.raises(jconv.keras.KerasFileError, match="a layer of Keras 3 is not always in training"):
        jconv.keras.save(tmp_path / "again.keras", *read)


def test_an_invalid_training_argument_is_refused(tmp_path: Path) -> None:
    def change(config: Any) -> Any:
        config["config"]["layers"][1]["inbound_nodes"][0][0][3] = {"training": "often"}
        return config

    path = tmp_path / "old.h5"
    as_keras_two(save(dropout_network(), tmp_path / "new.h5"), path)
    with pytest.raises(jconv.keras.KerasFileError, match="training must be true, false or null, got 'often'"):
        jconv.keras.load(changed(path, change))


def cudnn_lstm(w: Any, r: Any, b: Any, x: Any, units: int) -> Any:
    """The last output by cuDNN's definition; `w` and `r` have a flat matrix for each gate, `b` has two biases."""
    w, r = w.reshape(4, units, -1), r.reshape(4, units, units)
    h = c = np.zeros((len(x), units))
    for step in np.moveaxis(x, 1, 0):
        i, f, g, o = (step @ w[k].T + h @ r[k].T + b[0, k] + b[1, k] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def cudnn_gru(w: Any, r: Any, b: Any, x: Any, units: int) -> Any:
    w, r = w.reshape(3, units, -1), r.reshape(3, units, units)
    h = np.zeros((len(x), units))
    for step in np.moveaxis(x, 1, 0):
        z, reset = (sigmoid(step @ w[k].T + h @ r[k].T + b[0, k] + b[1, k]) for k in range(2))
        candidate = np.tanh(step @ w[2].T + b[0, 2] + reset * (h @ r[2].T + b[1, 2]))
        h = z * h + (1 - z) * candidate
    return h


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(("name", "gates"), [("CuDNNLSTM", 4), ("CuDNNGRU", 3)])
def test_cudnn_layers_are_read_as_lstm_and_gru(name: str, gates: int, wrapped: bool, tmp_path: Path) -> None:
    """Keras stores the elements of cuDNN's (units, features) matrices in the same order as (features, units) arrays."""
    units, features = 3, 2
    rng = np.random.default_rng(0)
    reads = {"units": units, "return_sequences": False, "go_backwards": False, "stateful": False}
    entry: dict[str, Any] = {"class_name": name, "config": {"name": "rnn", "trainable": True, **reads}}
    prefixes = ["rnn"]
    if wrapped:
        prefixes = ["both/forward_rnn", "both/backward_rnn"]
        entry = {"class_name": "Bidirectional", "config": {"name": "both", "layer": entry, "merge_mode": "concat"}}
    entry["config"]["batch_input_shape"] = [None, 5, features]
    expected = []
    x = rng.standard_normal((4, 5, features))
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [entry]})
        file.attrs["keras_version"] = "2.2.4"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [prefixes[0].partition("/")[0].encode()]
        layer = group.create_group(prefixes[0].partition("/")[0])
        names = [f"{prefix}/{own}:0" for prefix in prefixes for own in ("kernel", "recurrent_kernel", "bias")]
        layer.attrs["weight_names"] = [name.encode() for name in names]
        for direction, prefix in enumerate(prefixes):
            w, r, b = (rng.standard_normal((gates, n)) for n in (units * features, units * units, 2 * units))
            layer[f"{prefix}/kernel:0"] = np.float32(np.hstack([m.reshape(features, units) for m in w]))
            layer[f"{prefix}/recurrent_kernel:0"] = np.float32(np.hstack([m.reshape(units, units) for m in r]))
            biases = np.float32(b.reshape(gates, 2, units).swapaxes(0, 1))
            layer[f"{prefix}/bias:0"] = biases.ravel()
            compute = cudnn_lstm if gates == 4 else cudnn_gru
            expected.append(compute(w, r, biases, x[:, ::-1] if direction else x, units))
    read = ours, params, state = jconv.keras.load(path)
    y = ours.apply(params, state, np.float32(x))[0]
    assert deviation(y, np.concatenate(expected, -1)) < 1e-5
    plain = (jconv.layers.LSTM if gates == 4 else jconv.layers.GRU)(units)
    model = jconv.sequential([jconv.layers.Bidirectional(plain) if wrapped else plain], input_shape=(5, features))
    params, state = jconv.keras.load_weights(path, model)
    assert deviation(model.apply(params, state, np.float32(x))[0], y) < 1e-6
    jconv.keras.save(tmp_path / "again.keras", *read)
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    assert deviation(again(np.float32(x)), y) < 1e-5


def test_a_gru_without_reset_after_does_not_take_the_arrays_of_cudnn(tmp_path: Path) -> None:
    """Keras refuses these arrays as well: the layer has one bias instead of two."""
    model = jconv.sequential([jconv.layers.GRU(3, reset_after=False)], input_shape=(5, 2))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"rnn"]
        group = file.create_group("rnn")
        shapes = {"kernel": (2, 9), "recurrent_kernel": (3, 9), "bias": (18,)}
        group.attrs["weight_names"] = [f"{name}:0".encode() for name in shapes]
        for name, shape in shapes.items():
            group[f"{name}:0"] = np.ones(shape, np.float32)
    with pytest.raises(jconv.keras.KerasFileError, match=r"bias must have the shape \(9,\)"):
        jconv.keras.load_weights(tmp_path / "a.h5", model)
