"""Layers that the user supplies for names in a file, models without a shape, and models with arrays in another file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from jconv import layers as jl
from tests.support.keras_crafted import ARRAYS, BIAS, KERNEL, archive, conv, functional, hdf5, layer, saved
from tests.support.keras_files import deviation, drawn, keras_function, randomize, save, save_weights
from tests.support.keras_two import as_keras_two
from tests.support.keras_watch import refused

pytestmark = pytest.mark.usefixtures("quick_weights")

X = np.random.default_rng(0).standard_normal((2, 7, 4)).astype(np.float32)


def convolved(activation: Any = lambda y: y) -> Any:
    """The output of `conv()` of `keras_crafted` for `X`."""
    windows = np.stack([X[:, i : i + 2] for i in range(6)], 1)
    return activation(np.einsum("btkc,kco->bto", windows, KERNEL) + BIAS)


def test_a_class_of_another_name_is_read_as_a_conv1d(tmp_path: Path) -> None:
    # MMSplice's class has an option of its own, which is null in its files.
    entry = conv("dna", seq_length=None)
    entry |= {"class_name": "ConvDNA", "module": "spliceai.layers", "registered_name": "Custom>ConvDNA"}
    arrays = {path.replace("conv1d", "conv_dna"): array for path, array in ARRAYS.items()}
    path = saved(tmp_path, archive(functional(entry), hdf5(arrays)))
    refused(lambda: jconv.keras.load(path), "'spliceai.layers'.'ConvDNA', which is not imported")
    read = model, params, state = jconv.keras.load(path, custom_layers={"ConvDNA": jl.Conv1D})
    assert deviation(model.apply(params, state, X)[0], convolved()) < 1e-5
    # The key may also be the registered name, which is in the message and in the file.
    model, params, state = jconv.keras.load(path, custom_layers={"Custom>ConvDNA": jl.Conv1D})
    assert deviation(model.apply(params, state, X)[0], convolved()) < 1e-5
    jconv.keras.save(tmp_path / "again.keras", *read)
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    assert deviation(again(X), convolved()) < 1e-5
    # Options that Conv1D does not have are refused.
    entry["config"]["reverse_complement"] = True
    path = saved(tmp_path, archive(functional(entry), hdf5(arrays)))
    refused(lambda: jconv.keras.load(path, custom_layers={"ConvDNA": jl.Conv1D}), "the option 'reverse_complement'")
    nonsense: Any = {"ConvDNA": dict}
    refused(lambda: jconv.keras.load(path, custom_layers=nonsense), "custom_layers must have a jconv layer for it")


class OwnStep(keras.Model):
    """A model that is made from inputs and outputs and computes the same as they do."""


class Subclassed(keras.Model):
    """A model whose file does not contain what it computes, nor its name."""

    def __init__(self, units: int = 2) -> None:
        super().__init__()
        self.units = units

    def call(self, x: Any) -> Any:
        return x + 1


def test_files_of_subclasses_are_refused_with_advice(tmp_path: Path) -> None:
    x = keras.Input((9, 2))
    model = OwnStep(x, kl.Conv1D(3, 2)(x))
    subclassed = Subclassed()
    subclassed(np.ones((1, 9, 2)))
    for one in (model, subclassed):
        path = save(one, tmp_path / "own.keras")
        parts = type(one).__name__, "only Sequential and Functional models", "save keras.Model(model.inputs, model.out"
        refused(lambda path=path: jconv.keras.load(path), *parts)
    # The advice in the message.
    path = save(keras.Model(model.inputs, model.outputs), tmp_path / "plain.keras")
    ours, params, state = jconv.keras.load(path)
    (given,) = drawn(model)
    (wanted,) = keras_function(model)([given])
    assert deviation(ours.apply(params, state, given)[0], wanted) < 1e-5


FORMS: dict[str, Any] = {
    "name": "<lambda>",
    "function": {"module": "builtins", "class_name": "function", "config": "<lambda>", "registered_name": "function"},
    "code": {"class_name": "__lambda__", "config": {"value": "never decoded"}},
    "code of Keras 3": {"value": ["never decoded", None, None]},
    "registered": {"module": None, "class_name": "function", "config": "clipped", "registered_name": "own><lambda>"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_custom_activation_is_found_by_its_name(form: str, tmp_path: Path) -> None:
    """DeepLC's files have `"<lambda>"`, a leaky ReLU with a maximum."""
    path = saved(tmp_path, archive(functional(conv(activation=FORMS[form]))))
    refused(
        lambda: jconv.keras.load(path), "never run" if "code" in form else "{name: activation}", "custom_activations"
    )

    def clip(y: Any) -> Any:
        return jnp.clip(y, 0, 20)

    for supplied in (clip, jl.ReLU(20.0)):
        model, params, state = jconv.keras.load(path, custom_activations={"<lambda>": supplied})
        for found in (model.apply(params, state, X)[0], model.reference(params, state, X)):
            assert deviation(found, convolved(lambda y: np.clip(y, 0, 20))) < 1e-5
    model, params, state = jconv.keras.load(path, custom_activations={"<lambda>": "tanh"})
    assert deviation(model.apply(params, state, X)[0], convolved(np.tanh)) < 1e-5
    refused(lambda: jconv.keras.load(path, custom_activations={"<lambda>": "none"}), "activation")


@pytest.mark.filterwarnings("ignore:(.|\n)*lambda:UserWarning")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_needs_a_custom_activation(suffix: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((9, 2)), kl.Conv1D(3, 2, activation=lambda y: keras.ops.clip(y, 0, 1))])
    randomize(model)
    x = drawn(model)
    path = save(model, tmp_path / f"model{suffix}")
    refused(lambda: jconv.keras.load(path), "activation is Python code, which is never run", "<lambda>")
    ours, params, state = jconv.keras.load(path, custom_activations={"<lambda>": jl.ReLU(1.0)})
    assert deviation(ours.apply(params, state, x[0])[0], model(x[0])) < 1e-5


def pruned(config: Any) -> Any:
    for entry in config["config"]["layers"]:
        if entry["class_name"] in ("Conv1D", "LSTM", "Masking"):
            inner = {"class_name": entry["class_name"], "config": {**entry["config"], "name": "inside"}}
            own = {"name": entry["config"]["name"], "trainable": True, "dtype": "float32", "layer": inner}
            schedule = {"class_name": "ConstantSparsity", "config": {"target_sparsity": 0.5}}
            own |= {"pruning_schedule": schedule, "block_size": [1, 1], "block_pooling_type": "AVG"}
            entry |= {"class_name": "PruneLowMagnitude", "config": own}
    return config


def test_pruned_layers_are_the_layers_inside(tmp_path: Path) -> None:
    x = keras.Input((6, 3), name="x")
    model = keras.Model(x, kl.LSTM(3, name="lstm")(kl.Masking(name="masking")(kl.Conv1D(4, 2, name="conv")(x))))
    randomize(model)
    path = tmp_path / "old.h5"
    as_keras_two(save(model, tmp_path / "new.h5"), path)
    with h5py.File(path, "r+") as opened:
        file: Any = opened
        file.attrs["model_config"] = json.dumps(pruned(json.loads(file.attrs["model_config"])))
        file["model_weights"].attrs["layer_names"] = np.array(["conv", "masking", "lstm"], "S")
        for name in ("conv", "masking", "lstm"):
            group = file["model_weights"].require_group(name)
            names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs.get("weight_names", ())]
            # Around a layer without arrays, the wrapper has only `pruning_step`.
            own = ("mask", "threshold", "pruning_step") if names else ("pruning_step",)
            more = [f"{name}/{array}:0" for array in own]
            group.attrs["weight_names"] = np.array([*names, *more], "S")
            for other in more:
                group[other] = np.ones(3)
    given = drawn(model)
    (expected,) = jax.jit(keras_function(model))(given)
    ours, params, state = jconv.keras.load(path)
    assert deviation(ours.apply(params, state, given[0])[0], expected) < 1e-5


def test_pruned_layers_in_an_archive_are_the_layers_inside(tmp_path: Path) -> None:
    """The folders are named and numbered after the wrappers, and also contain arrays of the wrappers."""
    stored = {"vars/0": KERNEL, "vars/1": KERNEL, "vars/2": np.float32(0.5), "vars/3": np.int64(7)}
    arrays = {f"layers/prune_low_magnitude/{path}": array for path, array in stored.items()}
    arrays |= {f"layers/prune_low_magnitude/layer/vars/{i}": array for i, array in enumerate((KERNEL, BIAS))}
    arrays |= {"layers/prune_low_magnitude_1/layer/vars/0": np.eye(3), "layers/dense/vars/0": 2 * np.eye(3)}
    dense = {"units": 3, "use_bias": False, "activation": "relu"}
    config = functional(conv("conv"), layer("Dense", "a", dense, ("conv",)), layer("Dense", "b", dense, ("a",)))
    entries = config["config"]["layers"]
    for entry in entries[1:3]:
        inner = {"class_name": entry["class_name"], "config": {**entry["config"], "name": "inside"}}
        entry |= {"class_name": "PruneLowMagnitude", "module": "tensorflow_model_optimization.sparsity"}
        entry["config"] = {"name": entry["name"], "layer": {**inner, "module": "keras.layers"}}
    written = hdf5({path: np.float32(array) for path, array in arrays.items()})
    read = model, params, state = jconv.keras.load(saved(tmp_path, archive(config, written)))
    expected = convolved(lambda y: 2 * np.maximum(y, 0))
    assert deviation(model.apply(params, state, X)[0], expected) < 1e-5
    jconv.keras.save(tmp_path / "again.keras", *read)
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    assert deviation(again(X), expected) < 1e-5


@pytest.mark.parametrize("name", ["QDense", "QConv1D", "QActivation"])
def test_layers_of_qkeras_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, archive(functional(layer(name, "q", {"units": 3, "kernel_quantizer": None}))))
    refused(lambda: jconv.keras.load(path), f"({name})", "is a layer of QKeras, whose quantizers")


def test_a_model_in_json_is_loaded_with_its_arrays(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6, 3)), kl.Conv1D(4, 2), kl.GlobalAveragePooling1D(), kl.Dense(2)])
    randomize(model)
    x = drawn(model)
    (expected,) = jax.jit(keras_function(model))(x)
    whole = save(model, tmp_path / "whole.h5")
    folder = tmp_path / "both"
    folder.mkdir()
    text = folder / "model.json"
    for weights in (save_weights(model, folder / "a.weights.h5"), whole):
        text.write_text(model.to_json())
        ours, params, state = jconv.keras.load(text, weights=weights)
        assert deviation(ours.apply(params, state, x[0])[0], expected) < 1e-5
    refused(lambda: jconv.keras.load(text), "has a model and no arrays; give their file as weights=")
    ours, params, state = jconv.keras.load(folder)
    assert deviation(ours.apply(params, state, x[0])[0], expected) < 1e-5
    (folder / "other.h5").write_bytes(whole.read_bytes())
    refused(lambda: jconv.keras.load(folder), "has one .json and one .h5")


def test_json_of_keras_2_is_loaded_with_its_arrays(tmp_path: Path) -> None:
    """The JSON has the version of Keras; another file has the arrays, grouped by layer."""
    model = keras.Sequential([keras.Input((3,)), kl.Dense(2, name="dense", activation="hard_sigmoid")])
    randomize(model)
    as_keras_two(save(model, tmp_path / "new.h5"), tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5") as opened, h5py.File(tmp_path / "weights.h5", "w") as target:
        source: Any = opened
        config = json.loads(source.attrs["model_config"])
        (tmp_path / "model.json").write_text(json.dumps({**config, "keras_version": "2.4.0", "backend": "tensorflow"}))
        for name in source["model_weights"]:
            source.copy(source["model_weights"][name], target, name)
        target.attrs["layer_names"] = source["model_weights"].attrs["layer_names"]
    ours, params, state = jconv.keras.load(tmp_path / "model.json", weights=tmp_path / "weights.h5")
    x = np.array([[0.1, -0.2, 0.3]], np.float32)
    kernel, bias = (np.asarray(weight.value) for weight in model.weights)
    assert deviation(ours.apply(params, state, x)[0], np.clip(0.2 * (x @ kernel + bias) + 0.5, 0, 1)) < 1e-6


@pytest.mark.parametrize(
    ("class_name", "options"),
    [
        ("Convolution1D", {"nb_filter": 3, "filter_length": 2, "border_mode": "valid"}),
        ("Dense", {"output_dim": 3}),
        ("LSTM", {"output_dim": 3, "inner_init": "orthogonal"}),
        ("Embedding", {"input_dim": 5, "output_dim": 3, "init": "uniform"}),
        ("Dropout", {"p": 0.5}),
        ("BatchNormalization", {"mode": 0}),
    ],
)
def test_files_of_keras_1_are_recognized(class_name: str, options: Any, tmp_path: Path) -> None:
    """Also files without a version, which early releases wrote."""
    config = {"name": "a", "batch_input_shape": [None, 7, 4], **options}
    entries = [{"class_name": class_name, "config": config}]
    path = tmp_path / "model.json"
    for text in ({"config": entries}, {"config": [], "keras_version": "1.2.2"}):
        path.write_text(json.dumps({"class_name": "Sequential", **text}))
        refused(
            lambda: jconv.keras.load(path, weights=path), "is a file of Keras 1; load it in Keras 2.2 and save it again"
        )


def test_a_sequential_model_saved_before_it_was_built_needs_an_input_shape(tmp_path: Path) -> None:
    entry = {"class_name": "Conv1D", "module": "keras.layers", "config": {"name": "conv1d", "filters": 3}}
    entry["config"]["kernel_size"] = [2]
    path = saved(tmp_path, archive({"class_name": "Sequential", "config": {"name": "s", "layers": [entry]}}))
    refused(lambda: jconv.keras.load(path), "was saved before it was built; give input_shape=")
    model, params, state = jconv.keras.load(path, input_shape=(None, 4))
    assert model.input_shapes == ((None, 4),)
    assert deviation(model.apply(params, state, X)[0], convolved()) < 1e-5
    path = saved(tmp_path, archive(functional(conv())))
    refused(lambda: jconv.keras.load(path, input_shape=(7, 4)), "input_shape is for a Sequential model that has none")


def two_layers_without_a_shape(folder: Path) -> Path:
    """An HDF5 file of Keras 2 with a model of two equal layers and no input shape."""
    dense = {"units": 4, "activation": "linear", "use_bias": False}
    entries = [{"class_name": "Dense", "config": {"name": name, **dense}} for name in ("a", "b")]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": entries}}
    compiled = {"optimizer_config": {"class_name": "SGD", "config": {"learning_rate": 0.125}}, "loss": "mse"}
    texts = {"model_config": json.dumps(config), "training_config": json.dumps(compiled), "keras_version": "2.9.0"}
    path = folder / "whole.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(texts)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"a", b"b"]
        for number, name in enumerate(("a", "b")):
            group.create_group(name).attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            group[f"{name}/{name}/kernel:0"] = np.full((4, 4), number, np.float32)
    return path


def test_weights_of_a_sequential_model_saved_before_it_was_built_are_found_by_name(tmp_path: Path) -> None:
    path = two_layers_without_a_shape(tmp_path)
    dense = [jl.Dense(4, use_bias=False) for _ in range(2)]
    reordered = jconv.model.sequential(dense, names=["b", "a"])
    params, _ = jconv.keras.load_weights(path, reordered, input_shape=(7, 4))
    assert params["a"]["kernel"].max() == 0 and params["b"]["kernel"].min() == 1
    known = jconv.model.sequential(dense, names=["b", "a"], input_shape=(7, 4))
    params, _ = jconv.keras.load_weights(path, known)
    assert params["a"]["kernel"].max() == 0 and params["b"]["kernel"].min() == 1


def test_training_of_a_sequential_model_saved_before_it_was_built_needs_an_input_shape(tmp_path: Path) -> None:
    path = two_layers_without_a_shape(tmp_path)
    refused(lambda: jconv.keras.load_training(path), "was saved before it was built; give input_shape=")
    training = jconv.keras.load_training(path, input_shape=(7, 4))
    assert training.model.input_shapes == ((7, 4),) and training.learning_rate == 0.125
    path = saved(tmp_path, archive(functional(conv()) | {"compile_config": {"optimizer": "sgd", "loss": "mse"}}))
    refused(lambda: jconv.keras.load_training(path, input_shape=(7, 4)), "input_shape is for a Sequential model")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("is_keras_2", [False, True])
def test_attention_with_a_constant_mask_equals_keras(is_keras_2: bool, tmp_path: Path) -> None:
    x = keras.Input((4, 3), name="x")
    mask = np.tril(np.ones((1, 4, 4), bool))
    mask[0, 3, 1] = False
    model = keras.Model(x, kl.MultiHeadAttention(2, 3)(x, x, attention_mask=mask))
    randomize(model)
    given = drawn(model)
    (expected,) = jax.jit(keras_function(model))(given)
    path = save(model, tmp_path / "new.h5") if is_keras_2 else save(model, tmp_path / "model.keras")
    if is_keras_2:
        as_keras_two(path, tmp_path / "old.h5")
        path = tmp_path / "old.h5"
        with h5py.File(path, "r+") as opened:
            file: Any = opened
            config = json.loads(file.attrs["model_config"])
            call = ["x", 0, 0, {"value": ["x", 0, 0], "attention_mask": mask.tolist()}]
            config["config"]["layers"][1]["inbound_nodes"] = [[call]]
            file.attrs["model_config"] = json.dumps(config)
    read = ours, params, state = jconv.keras.load(path)
    assert deviation(ours.apply(params, state, given[0])[0], expected) < 1e-5
    assert deviation(ours.reference(params, state, given[0]), expected) < 1e-5
    jconv.keras.save(tmp_path / "again.keras", *read)
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    assert deviation(again(given[0]), expected) < 1e-5
