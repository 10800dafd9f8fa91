"""Functions of TensorFlow between layers of Keras 2, recorded by `keras_two_files/make_operations.py`, and refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import jconv.keras
from jconv import layers as jl
from tests.support.keras_crafted import archive, functional, saved
from tests.support.keras_files import deviation
from tests.support.keras_watch import refused
from tests.support.paths import KERAS_TWO_FILES

X = np.random.default_rng(0).standard_normal((2, 7, 4)).astype(np.float32)


def test_functions_have_the_outputs_recorded_with_keras_2_15(tmp_path: Path) -> None:
    path = tmp_path / "operations.h5"
    path.write_bytes(gzip.decompress((KERAS_TWO_FILES / "operations.h5.gz").read_bytes()))
    stored = np.load(KERAS_TWO_FILES / "operations.npz")
    model, params, state = jconv.keras.load(path)
    x = [stored[name] for name in model.inputs]
    y = jax.jit(model.apply)(params, state, x)[0]
    exact = model.reference(params, state, x)
    assert set(model.outputs) == set(stored.files) - {"x", "y", "n"}
    wrong = {name: deviation(y[name], stored[name]) for name in y if deviation(y[name], stored[name]) > 1e-5}
    assert not wrong
    assert all(deviation(exact[name], stored[name]) < 1e-5 for name in exact)


def archive_of(class_name: str, config: Any, call: Any) -> bytes:
    entry = {"class_name": class_name, "name": "op", "config": {"name": "op", "trainable": True, **config}}
    return archive(functional({**entry, "inbound_nodes": [call]}))


@pytest.mark.parametrize(
    ("config", "call", "parts"),
    [
        (
            {"function": "math.bessel_i0"},
            ["in0", 0, 0, {}],
            ("TensorFlow's 'math.bessel_i0' is not supported", "custom_layers"),
        ),
        ({"function": "os.system"}, ["in0", 0, 0, {}], ("TensorFlow's 'os.system' is not supported",)),
        ({"function": "math.add"}, ["in0", 0, 0, {"z": 3}], ("the option 'z' of TensorFlow's math.add (value 3)",)),
        ({"function": "math.add"}, ["in0", 0, 0, {}], ("add cannot be called with these arguments",)),
        ({"function": 3}, ["in0", 0, 0, {}], ("function must be a string",)),
        ({}, ["in0", 0, 0, {}], ("function is missing",)),
        ({"function": "reshape"}, ["in0", 0, 0, {"shape": [3, -1]}], ("must keep the batch",)),
        ({"function": "math.add"}, ["_CONSTANT_VALUE", -1, 1.0, {"y": 2.0}], ("add must use each of its inputs",)),
    ],
)
def test_unsupported_functions_are_refused_by_name(config: Any, call: Any, parts: Any, tmp_path: Path) -> None:
    path = saved(tmp_path, archive_of("TFOpLambda", config, call))
    refused(lambda: jconv.keras.load(path), *parts)
    model, params, state = (
        jconv.keras.load(path, custom_layers={"op": jl.Activation("tanh")})
        if parts[-1] == ("custom_layers")
        else (None, {}, {})
    )
    if model is not None:
        assert deviation(model.apply(params, state, X)[0], np.tanh(X)) < 1e-6


POSITIONS = np.arange(28, dtype=np.float32).reshape(7, 4) / 8
MIXING = np.arange(8, dtype=np.float32).reshape(4, 2)
FUNCTIONS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "add an array": ("__operators__.add", {"y": POSITIONS.tolist()}, X + POSITIONS),
    "multiply by integers": ("math.multiply", {"y": [1, 2, 3, 4]}, X * np.float32([1, 2, 3, 4])),
    "multiply by a matrix": ("linalg.matmul", {"b": MIXING.tolist()}, X @ MIXING),
    "floor division": ("compat.v1.floor_div", {"y": 0.5, "name": None}, np.floor(X / 0.5)),
    "arctangent": ("math.atan2", {"x": 2.0}, np.arctan2(X, 2)),
    "padding": (
        "compat.v1.pad",
        {"paddings": [[0, 0], [1, 2], [0, 0]], "mode": "CONSTANT", "name": None, "constant_values": 3.0},
        np.pad(X, ((0, 0), (1, 2), (0, 0)), constant_values=3),
    ),
    "reflection": (
        "pad",
        {"paddings": [[0, 0], [2, 1], [0, 0]], "mode": "REFLECT"},
        np.pad(X, ((0,) * 2, (2, 1), (0,) * 2), "reflect"),
    ),
    "gather": (
        "compat.v1.gather",
        {"indices": [2, 0, 1], "validate_indices": None, "name": None, "axis": 1, "batch_dims": 0},
        X[:, [2, 0, 1]],
    ),
    "repeat": ("repeat", {"repeats": 2, "axis": 1}, X.repeat(2, 1)),
    "roll": ("roll", {"shift": 2, "axis": 1}, np.roll(X, 2, 1)),
    "reverse": ("reverse", {"axis": [1], "name": None}, X[:, ::-1]),
    "equal parts": ("split", {"num_or_size_splits": 2, "axis": -1}, X[:, :, :2]),
    "parts": ("split", {"num_or_size_splits": [3, 1], "axis": 2}, X[:, :, :3]),
    "unstack": ("unstack", {"axis": 1}, X[:, 0]),
    "identity": ("identity", {}, X),
    "argmax": ("math.argmax", {"axis": 1, "output_type": "int32"}, X.argmax(1)),
    "cumsum": ("math.cumsum", {"axis": 1, "exclusive": False, "reverse": False}, X.cumsum(1)),
    "cast": ("cast", {"dtype": "int32"}, np.trunc(X)),
    "cast to bool": ("cast", {"dtype": "bool"}, X != 0),
}


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_with_other_arguments_equal_numpy(name: str, tmp_path: Path) -> None:
    function, arguments, expected = FUNCTIONS[name]
    read = model, params, state = jconv.keras.load(
        saved(tmp_path, archive_of("TFOpLambda", {"function": function}, ["in0", 0, 0, arguments]))
    )

    def first(y: Any) -> Any:
        return next(iter(y.values())) if isinstance(y, dict) else y

    assert deviation(first(model.apply(params, state, X)[0]), expected) < 1e-6
    assert deviation(first(model.reference(params, state, X)), expected) < 1e-6
    jconv.keras.save(tmp_path / "again.keras", *read)
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    assert deviation(again(X), expected) < 1e-6


@pytest.mark.parametrize(
    ("config", "call", "class_name"),
    [({"function": "identity"}, {}, "TFOpLambda"), (None, {}, "TensorFlowOpLayer")],
)
def test_identity_passes_gradients(config: Any, call: Any, class_name: str, tmp_path: Path) -> None:
    content = archive_of(class_name, graph_config("Identity", {}) if config is None else config, ["in0", 0, 0, call])
    model, params, state = jconv.keras.load(saved(tmp_path, content))
    assert np.array_equal(jax.grad(lambda x: model.apply(params, state, x)[0].sum())(X), np.ones_like(X))


def test_a_computed_size_is_refused_by_the_name_of_its_function(tmp_path: Path) -> None:
    """`tf.reshape(x, [tf.shape(x)[0], 4, 7])`."""

    def entry(name: str, function: str, *call: Any) -> dict[str, Any]:
        config = {"name": name, "trainable": True, "function": function}
        return {"class_name": "TFOpLambda", "name": name, "config": config, "inbound_nodes": [list(call)]}

    entries = [
        entry("size", "compat.v1.shape", "in0", 0, 0, {"name": None}),
        entry("reshaped", "reshape", "in0", 0, 0, {"shape": [["size", 0, 0], 4, 7]}),
    ]
    path = saved(tmp_path, archive(functional(*entries)))
    refused(lambda: jconv.keras.load(path), "TensorFlow's 'compat.v1.shape' is not supported")


def graph_config(op: str, constants: Any, **attributes: Any) -> dict[str, Any]:
    return {
        "node_def": json.dumps({"name": "op", "op": op, "input": ["a", "b"], "attr": attributes}),
        "constants": constants,
    }


SLICE = {"begin_mask": {"i": "3"}, "end_mask": {"i": "1"}, "shrink_axis_mask": {"i": "4"}}
GRAPHS: dict[str, tuple[dict[str, Any], Any]] = {
    "constant_first": (graph_config("Sub", {"0": 1.0}), 1 - X),
    "constant_last": (graph_config("RealDiv", {"1": 2.0}), X / 2),
    "relu": (graph_config("Relu", {}), np.maximum(X, 0)),
    "mean": (graph_config("Mean", {"1": [1]}, keep_dims={"b": True}), X.mean(1, keepdims=True)),
    "expand": (graph_config("ExpandDims", {"1": -1}), X[..., None]),
    "transpose": (graph_config("Transpose", {"1": [0, 2, 1]}), X.transpose(0, 2, 1)),
    "slice": (graph_config("StridedSlice", {"1": [0, 0, 1], "2": [0, 5, 2], "3": [1, 2, 1]}, **SLICE), X[:, :5:2, 1]),
    "cast": (graph_config("Cast", {}, DstT={"type": "DT_HALF"}), X.astype(np.float16)),
    "add an array": (graph_config("AddV2", {"1": [0.5, 1.0, 1.5, 2.0]}), X + np.float32([0.5, 1, 1.5, 2])),
    "transposed": (graph_config("BatchMatMulV2", {"1": MIXING.T.tolist()}, adj_y={"b": True}), X @ MIXING),
    "matrix": (graph_config("BatchMatMulV2", {"1": MIXING.tolist()}, adj_x={"b": False}), X @ MIXING),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_operations_of_graphs_equal_numpy(name: str, tmp_path: Path) -> None:
    """`TensorFlowOpLayer` of TensorFlow 2.0 to 2.3."""
    config, expected = GRAPHS[name]
    model, params, state = jconv.keras.load(saved(tmp_path, archive_of("TensorFlowOpLayer", config, ["in0", 0, 0, {}])))
    y = model.apply(params, state, X)[0]
    assert y.dtype == expected.dtype and deviation(y, expected) < 1e-6


def test_unsupported_operations_of_graphs_are_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, archive_of("TensorFlowOpLayer", graph_config("ReadFile", {}), ["in0", 0, 0, {}]))
    refused(lambda: jconv.keras.load(path), "TensorFlow's operation 'ReadFile' is not supported")
    path = saved(tmp_path, archive_of("TensorFlowOpLayer", {"node_def": "{", "constants": {}}, ["in0", 0, 0, {}]))
    refused(lambda: jconv.keras.load(path), "node_def")
