"""Keras's layer at every time."""

from __future__ import annotations

from typing import Any

from ...layers import Layer, TimeDistributed
from .config import Config, as_dict
from .inside import copies_inside, folders_inside
from .kind import Kind, ReadLayer, WriteLayer


def _read(config: Config, read_layer: ReadLayer) -> Layer:
    return TimeDistributed(read_layer(config.get("layer", as_dict), f"{config.place}, layer"))


def _write(layer: TimeDistributed, write_layer: WriteLayer) -> dict[str, Any]:
    return {"layer": write_layer(layer.layer, "layer")}


def _inside(layer: TimeDistributed) -> list[tuple[Layer, str, str]]:
    return [(layer.layer, "layer", "layer")]


KINDS = (
    Kind(
        "TimeDistributed",
        TimeDistributed,
        folders=lambda layer: folders_inside(_inside(layer)),
        copies=lambda layer: copies_inside(_inside(layer)),
        read=_read,
        write=_write,
        mask="on",
        takes_mask=True,
    ),
)
