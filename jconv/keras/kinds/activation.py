"""Activation layers, and Keras 2's hard sigmoid as Keras 3 writes it."""

from __future__ import annotations

from typing import Any

from ...layers import ELU, Activation, Layer, LeakyReLU, PReLU, ReLU, Softmax
from .config import Config, integer, integers, number, one_or_more_integers, optional
from .kind import ACTIVATION, Key, Kind, ReadLayer, activation

CLIP = {"max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0}


def hard_sigmoid(slope: float, name: str, dtype: Any) -> dict[str, Any]:
    """The config of clip(slope * x + 0.5, 0, 1): a model of two layers, which Keras 3 accepts as an activation."""
    layers = [("Rescaling", {"scale": float(slope), "offset": 0.5}), ("ReLU", CLIP)]
    entries = [
        {
            "module": "keras.layers",
            "class_name": class_name,
            "config": {"name": f"{name}_{class_name.lower()}", "dtype": dtype, **options},
            "registered_name": None,
        }
        for class_name, options in layers
    ]
    config = {"name": name, "layers": entries}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}


def hard_sigmoid_slope(entry: Any) -> float | None:
    """The slope in a config that `hard_sigmoid` wrote, or that Keras wrote after it read one; None for other configs.

    >>> hard_sigmoid_slope(hard_sigmoid(0.2, "gate", "float32"))
    0.2
    """
    config = entry.get("config") if isinstance(entry, dict) and entry.get("class_name") == "Sequential" else None
    layers = config.get("layers") if isinstance(config, dict) else None
    parts = [part for part in layers if isinstance(part, dict)] if isinstance(layers, list) else []
    found = [(p.get("class_name"), p.get("config")) for p in parts if p.get("class_name") != "InputLayer"]
    if [class_name for class_name, _ in found] != ["Rescaling", "ReLU"]:
        return None
    scaled, clipped = (config if isinstance(config, dict) else {} for _, config in found)
    slope = scaled.get("scale")
    same = scaled.get("offset") == 0.5 and all(clipped.get(key) == value for key, value in CLIP.items())
    return slope if same and isinstance(slope, float) else None


def _shared_axes(value: Any) -> tuple[int, ...]:
    return integers(value) if isinstance(value, (list, tuple)) else (integer(value),)


def _read(config: Config, read_layer: ReadLayer) -> Layer:
    """The activation, or the layer that the config has as its activation."""
    (option,) = Kind(Activation, (ACTIVATION,)).options(config, read_layer).values()
    return option if isinstance(option, Layer) else Activation(option)


KINDS = (
    Kind(
        Activation,
        (Key("activation", activation),),
        read=_read,
        folders=lambda layer: {} if isinstance(layer, Activation) else {"": "activation"},
        mask=lambda layer: "identity" if layer == Activation("linear") else "propagate",
    ),
    Kind(Activation, name="Identity", read=lambda config, read_layer: Activation("linear"), mask="identity"),
    Kind(
        ReLU,
        (Key("max_value", optional(number)), Key("negative_slope", number), Key("threshold", number)),
        mask="propagate",
    ),
    # A class of Keras 2, which is a ReLU in Keras 3.
    Kind(
        ReLU,
        name="ThresholdedReLU",
        read=lambda config, read_layer: ReLU(threshold=config.get("theta", number, 1.0)),
        mask="propagate",
    ),
    Kind(LeakyReLU, (Key("negative_slope", number, aliases=("alpha",)),), mask="propagate"),
    Kind(PReLU, (Key("shared_axes", optional(_shared_axes), optional(list)),), mask="propagate"),
    Kind(ELU, (Key("alpha", number),), mask="propagate"),
    Kind(Softmax, (Key("axis", one_or_more_integers),), mask="propagate", takes_mask=True),
)
