"""Converts files of Keras 3 to files of Keras 2: config and arrays in the older, published format.

Unlike an `.h5` of Keras 3, a file of Keras 2 has input shapes in `batch_input_shape`, names for dtypes, calls as lists
`[layer, call, output, arguments]`, options of recurrent layers that Keras 3 dropped, and arrays named `layer/kernel:0`.
Building a nested model counts as its first call.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MODELS = ("Functional", "Sequential")
RECURRENT = ("LSTM", "GRU", "SimpleRNN")


def as_keras_two(new: Path, old: Path) -> None:
    """Write at `old` the file that Keras 2 would write for the model of `new`, an `.h5` of Keras 3."""
    with h5py.File(new) as source, h5py.File(old, "w") as target:
        config = json.loads(source.attrs["model_config"])
        target.attrs["model_config"] = json.dumps(_model(config)).encode()
        target.attrs["keras_version"], target.attrs["backend"] = b"2.11.0", b"tensorflow"
        weights = target.create_group("model_weights")
        names = [name for name in source["model_weights"].attrs["layer_names"] if name in source["model_weights"]]
        weights.attrs["layer_names"] = np.array([name.encode() for name in names])
        for name in names:
            group, arrays = weights.create_group(name), source["model_weights"][name]
            renamed = {path: f"{path}:0" for path in arrays.attrs["weight_names"]}
            group.attrs["weight_names"] = np.array([path.encode() for path in renamed.values()], dtype="S")
            for path, other in renamed.items():
                group.create_dataset(other, data=arrays[path])


def _model(entry: dict[str, Any]) -> dict[str, Any]:
    config = dict(entry["config"])
    models = {layer["config"]["name"] for layer in config["layers"] if layer["class_name"] in MODELS}
    # The operations with which Keras 3 computes masks are left out, because Keras 2 passes masks implicitly.
    layers = [e for e in config["layers"] if e["class_name"] in (*MODELS, "InputLayer") or "dtype" in e["config"]]
    config["layers"] = [_layer(layer, models) for layer in layers]
    config.pop("trainable", None)
    if entry["class_name"] == "Sequential":
        config.pop("dtype", None)
        config["build_input_shape"] = config.get("build_input_shape")
    else:
        for key in ("input_layers", "output_layers"):
            config[key] = _refs(config[key], models)
    return {"class_name": entry["class_name"], "config": config}


def _layer(entry: dict[str, Any], models: set[str]) -> dict[str, Any]:
    if entry["class_name"] in MODELS:
        made = _model(entry)
    else:
        made = {"class_name": entry["class_name"], "config": _options(entry["class_name"], dict(entry["config"]))}
    if "inbound_nodes" in entry:
        made["name"] = entry["name"]
        made["inbound_nodes"] = [_call(call, models) for call in entry["inbound_nodes"]]
    return made


def _options(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    if "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
        config.pop("optional", None)
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = config["dtype"]["config"]["name"]
    for key in ("quantization_config", "lora_rank", "lora_alpha", "autocast"):
        config.pop(key, None)
    for key, value in config.items():
        if isinstance(value, dict) and "class_name" in value and key != "layer":
            config[key] = {"class_name": value["class_name"], "config": value["config"]}
    if class_name in RECURRENT:
        config |= {"time_major": False, "implementation": 2}
        config.pop("zero_output_for_mask")
        config.pop("seed", None)
    if class_name in ("BatchNormalization", "LayerNormalization") and isinstance(config["axis"], int):
        config["axis"] = [2 if config["axis"] == -1 else config["axis"]]
        config.pop("synchronized", None)
    if "layer" in config:
        config["layer"] = _layer({k: v for k, v in config["layer"].items() if k != "inbound_nodes"}, set())
        config.pop("backward_layer", None)
    return config


def _refs(tree: Any, models: set[str]) -> Any:
    if isinstance(tree, list) and tree and isinstance(tree[0], str):
        return [tree]
    return [[name, call, output] for name, call, output in tree]


def _call(call: dict[str, Any], models: set[str]) -> list[Any]:
    tensors, rest = _tensors(call["args"], models), {}
    for key, value in call["kwargs"].items():
        if key == "initial_state":
            tensors += _tensors(value, models)
        elif key not in ("mask", "training") and value is not None:
            found = _tensors(value, models)
            rest[key] = found[0] if found else value
    first, *others = tensors
    return [[*first, rest], *([*other, {}] for other in others)]


def _tensors(tree: Any, models: set[str]) -> list[list[Any]]:
    if isinstance(tree, dict) and tree["class_name"] == "__keras_tensor__":
        name, call, output = tree["config"]["keras_history"]
        return [[name, call + (name in models), output]]
    return [found for part in tree for found in _tensors(part, models)] if isinstance(tree, list) else []
