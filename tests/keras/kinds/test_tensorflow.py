"""Functions of TensorFlow between layers of Keras 2, recorded by `keras_two_files/make_operations.py`, and refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jconv.keras
from jconv import layers as jl
from tests.support.keras_crafted import archive, functional, saved
from tests.support.keras_files import deviation
from tests.support.keras_watch import refused
from tests.support.paths import KERAS_TWO_FILES

X = np.random.default_rng(0).standard_normal((2, 7, 4)).astype(np.float32)


def test_functions_recorded_with_keras_2_15(tmp_path: Path) -> None:
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


def one(class_name: str, config: Any, call: Any) -> bytes:
    entry = {"class_name": class_name, "name": "op", "config": {"name": "op", "trainable": True, **config}}
    return archive(functional({**entry, "inbound_nodes": [call]}))


@pytest.mark.parametrize(
    ("config", "call", "parts"),
    [
        (
            {"function": "math.bessel_i0"},
            ["in0", 0, 0, {}],
            ("TensorFlow's 'math.bessel_i0' is not one", "custom_layers"),
        ),
        ({"function": "os.system"}, ["in0", 0, 0, {}], ("TensorFlow's 'os.system' is not one that jconv has",)),
        ({"function": "math.add"}, ["in0", 0, 0, {"z": 3}], ("the option 'z' of TensorFlow's math.add (at 3)",)),
        ({"function": "math.add"}, ["in0", 0, 0, {}], ("add cannot be called so",)),
        ({"function": 3}, ["in0", 0, 0, {}], ("function must be a string",)),
        ({}, ["in0", 0, 0, {}], ("function is missing",)),
        ({"function": "reshape"}, ["in0", 0, 0, {"shape": [3, -1]}], ("must keep the batch",)),
        ({"function": "math.add"}, ["_CONSTANT_VALUE", -1, 1.0, {"y": 2.0}], ("add must use each of its inputs",)),
    ],
)
def test_others_are_refused_by_name(config: Any, call: Any, parts: Any, tmp_path: Path) -> None:
    path = saved(tmp_path, one("TFOpLambda", config, call))
    refused(lambda: jconv.keras.load(path), *parts)
    model, params, state = (
        jconv.keras.load(path, custom_layers={"op": jl.Activation("tanh")})
        if parts[-1] == ("custom_layers")
        else (None, {}, {})
    )
    if model is not None:
        assert deviation(model.apply(params, state, X)[0], np.tanh(X)) < 1e-6


def graph(op: str, constants: Any, **attributes: Any) -> dict[str, Any]:
    return {
        "node_def": json.dumps({"name": "op", "op": op, "input": ["a", "b"], "attr": attributes}),
        "constants": constants,
    }


SLICE = {"begin_mask": {"i": "3"}, "end_mask": {"i": "1"}, "shrink_axis_mask": {"i": "4"}}
GRAPHS: dict[str, tuple[dict[str, Any], Any]] = {
    "constant_first": (graph("Sub", {"0": 1.0}), 1 - X),
    "constant_last": (graph("RealDiv", {"1": 2.0}), X / 2),
    "relu": (graph("Relu", {}), np.maximum(X, 0)),
    "mean": (graph("Mean", {"1": [1]}, keep_dims={"b": True}), X.mean(1, keepdims=True)),
    "expand": (graph("ExpandDims", {"1": -1}), X[..., None]),
    "transpose": (graph("Transpose", {"1": [0, 2, 1]}), X.transpose(0, 2, 1)),
    "slice": (graph("StridedSlice", {"1": [0, 0, 1], "2": [0, 5, 2], "3": [1, 2, 1]}, **SLICE), X[:, :5:2, 1]),
    "cast": (graph("Cast", {}, DstT={"type": "DT_HALF"}), X.astype(np.float16)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_operations_of_graphs(name: str, tmp_path: Path) -> None:
    """`TensorFlowOpLayer` of TensorFlow 2.0 to 2.3."""
    config, expected = GRAPHS[name]
    model, params, state = jconv.keras.load(saved(tmp_path, one("TensorFlowOpLayer", config, ["in0", 0, 0, {}])))
    y = model.apply(params, state, X)[0]
    assert y.dtype == expected.dtype and deviation(y, expected) < 1e-6


def test_other_operations_of_graphs_are_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, one("TensorFlowOpLayer", graph("ReadFile", {}), ["in0", 0, 0, {}]))
    refused(lambda: jconv.keras.load(path), "TensorFlow's operation 'ReadFile' is not one that jconv has")
    path = saved(tmp_path, one("TensorFlowOpLayer", {"node_def": "{", "constants": {}}, ["in0", 0, 0, {}]))
    refused(lambda: jconv.keras.load(path), "node_def")
