"""Converts the Functional config of a chain of layers to a Sequential config, whose arrays are in other folders."""

from __future__ import annotations

from typing import Any

from ..read.layer import MODELS, SEQUENTIAL


def as_sequential(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """`(entry, config)` of a Sequential model for a Functional `config`; None if that is not a chain of layers."""
    first, *layers = config["layers"]
    if not layers or first["class_name"] != "InputLayer":
        return None
    previous = first["name"]
    for entry in layers:
        calls = entry["inbound_nodes"]
        if not (entry["module"] == "keras.layers" or entry["class_name"] in MODELS) or len(calls) != 1:
            return None
        args, kwargs = calls[0]["args"], calls[0]["kwargs"]
        if len(args) != 1 or not isinstance(args[0], dict) or any(value is not None for value in kwargs.values()):
            return None
        if args[0]["config"]["keras_history"] != [previous, 0, 0]:
            return None
        previous = entry["name"]
    output = config["output_layers"]
    if output[0] != previous or output[-1] != 0:
        return None
    uncalled = [{k: v for k, v in entry.items() if k not in ("name", "inbound_nodes")} for entry in config["layers"]]
    entry = {"module": "keras", "class_name": SEQUENTIAL, "registered_name": None}
    return entry, {"name": config["name"], "trainable": True, "layers": uncalled}
