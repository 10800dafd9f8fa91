"""Keras's activations as layers."""

from __future__ import annotations

from typing import Any

from ...layers import ELU, Activation, Layer, LeakyReLU, ReLU, Softmax
from .config import Config, integer, integers, number, optional
from .kind import ACTIVATION, Key, Kind, ReadLayer, activation


def _axes(value: Any) -> int | tuple[int, ...]:
    """An axis, or several of them."""
    return integers(value) if isinstance(value, (list, tuple)) else integer(value)


def _read(config: Config, read_layer: ReadLayer) -> Layer:
    """The activation, or the layer that stands in its place."""
    (option,) = Kind("", Activation, (ACTIVATION,)).options(config, read_layer).values()
    return option if isinstance(option, Layer) else Activation(option)


KINDS = (
    Kind(
        "Activation",
        Activation,
        (Key("activation", "activation", activation),),
        read=_read,
        folders=lambda layer: {} if isinstance(layer, Activation) else {"": "activation"},
        mask=lambda layer: "same" if layer == Activation("linear") else "on",
    ),
    Kind("Identity", Activation, read=lambda config, read_layer: Activation("linear"), mask="same"),
    Kind(
        "ReLU",
        ReLU,
        (
            Key("max_value", "max_value", optional(number)),
            Key("negative_slope", "negative_slope", number),
            Key("threshold", "threshold", number),
        ),
        mask="on",
    ),
    # Keras 2's; in Keras 3 it is a ReLU.
    Kind(
        "ThresholdedReLU",
        ReLU,
        read=lambda config, read_layer: ReLU(threshold=config.get("theta", number, 1.0)),
        mask="on",
    ),
    Kind("LeakyReLU", LeakyReLU, (Key("negative_slope", "negative_slope", number, older=("alpha",)),), mask="on"),
    Kind("ELU", ELU, (Key("alpha", "alpha", number),), mask="on"),
    Kind("Softmax", Softmax, (Key("axis", "axis", _axes),), mask="on", takes_mask=True),
)
