"""Computes the outputs of Keras for a list of files; run by a Python that has Keras and need not have jconv.

    python keras_outputs.py MAJOR TASKS.json

MAJOR is the version of Keras. Each task has the paths of a file, of its inputs and of the outputs to write (`.npz`),
and the row's stand-ins. The answer to each task is a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np


def main(major: str, tasks: str) -> None:
    """Compute the tasks in a file."""
    installed = [name for name in ("keras", "tf_keras") if find_spec(name)]
    name = next(name for name in installed if version(name).startswith(f"{major}."))
    keras = importlib.import_module(name)
    with open(tasks) as file:
        listed = json.load(file)
    for task in listed:
        try:
            objects = _objects(keras, task["supplied"])
            model = keras.models.load_model(task["file"], custom_objects=objects, compile=False)
            with np.load(task["inputs"]) as arrays:
                x = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
            y = model(x if len(x) > 1 else x[0], training=False)
            values = list(y.values()) if isinstance(y, dict) else y if isinstance(y, (list, tuple)) else [y]
            np.savez(task["outputs"], *(np.asarray(value, "float64") for value in values))
            answer: dict[str, Any] = {"by": f"{name} {keras.__version__}"}
        except Exception as error:  # any exception, so that one file does not end the list
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps({"sha256": task["sha256"], **answer}), flush=True)


def _objects(keras: Any, supplied: str) -> dict[str, Any]:
    """The stand-ins of `stand_ins.py` in Keras, for classes and functions that a file only names."""
    K, layer = keras.backend, partial(_layer, keras)
    # In Keras 2.0.2 the dtype of an embedding is the type of its indices.
    embedding = _without(keras.layers.Embedding, lambda key, value: (key, value) == ("dtype", "int32"))
    objects: dict[str, Any] = {"Embedding": embedding}
    if keras.__version__.startswith("2."):
        objects["GRU"] = _with_default_reset_after(keras.layers.GRU)
    if find_spec("tcn"):
        objects["TCN"] = _without(importlib.import_module("tcn").TCN, lambda key, _: key == "use_weight_norm")
    if supplied == "deeplc":
        objects["<lambda>"] = keras.layers.ReLU(max_value=20.0, negative_slope=0.1)
    elif supplied == "mmsplice":
        objects["ConvDNA"] = _without(keras.layers.Conv1D, lambda _, value: value is None)
        objects["GlobalAveragePooling1D_Mask0"] = layer(partial(_masked_mean, K))
        objects["SplineWeight1D"] = layer(partial(_spline_weight, K), lambda shape: [(10, shape[-1])])
    elif supplied == "c_amps":
        objects["Attention_layer"] = layer(
            partial(_channel_attention, K), lambda shape: [(shape[-1], shape[-1]), (shape[-1],)]
        )
    elif supplied == "dna_lstm":
        objects["Lambda"] = layer(lambda x: x[:, -1])
    elif supplied in ("last_1_of_30", "last_20_of_30"):
        count = int(supplied.split("_")[1])
        objects["Lambda"] = layer(lambda x: x[:, -count:])
    return objects


def _masked_mean(K: Any, inputs: Any) -> Any:
    features, sequence = inputs
    weights = K.max(sequence, axis=2, keepdims=True)
    return K.sum(features * weights, axis=1) / K.maximum(K.sum(weights, axis=1), 1e-7)


def _spline_weight(K: Any, x: Any, kernel: Any) -> Any:
    basis = K.constant(importlib.import_module("splines").spline_basis(x.shape[1], 10, 3))
    return x * (1 + K.dot(basis, kernel))


def _channel_attention(K: Any, x: Any, matrix: Any, bias: Any) -> Any:
    weights = K.exp(K.tanh(K.dot(x, matrix) + bias))
    return K.sum(x * weights / (K.sum(weights, axis=1, keepdims=True) + 1e-7), axis=1)


def _layer(keras: Any, compute: Any, shapes: Any = lambda _: ()) -> Any:
    """The class of a layer with arrays of these shapes. The options of the published class are not read."""

    class StandIn(keras.layers.Layer):
        def __init__(self, name: str | None = None, **_: Any) -> None:
            super().__init__(name=name)

        def build(self, input_shape: Any) -> None:
            self.arrays = [self.add_weight(name=str(i), shape=s) for i, s in enumerate(shapes(input_shape))]

        def call(self, inputs: Any) -> Any:
            return compute(inputs, *self.arrays)

    return StandIn


def _with_default_reset_after(layer: Any) -> Any:
    """`GRU`; in files older than the option `reset_after` it is false."""

    class GRU(layer):
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return super().from_config({"reset_after": False, **config})

    return GRU


def _without(layer: Any, left_out: Callable[[str, Any], bool]) -> Any:
    """The layer, without some options of its config, such as those that only the published class has."""

    class Without(layer):
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return cls(**{key: value for key, value in config.items() if not left_out(key, value)})

    return Without


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
