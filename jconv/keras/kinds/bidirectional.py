"""Keras's layer in both directions."""

from __future__ import annotations

from typing import Any

from ...layers import Bidirectional, Layer
from .config import Config, as_dict, one_of, optional
from .inside import copies_inside, folders_inside
from .kind import Kind, ReadLayer, WriteLayer
from .recurrent import call_of

SIDES = {"forward": "forward_layer", "backward": "backward_layer"}
MERGE_MODE = optional(one_of("concat", "sum", "ave", "mul"))


def _read(config: Config, read_layer: ReadLayer) -> Layer:
    layer = read_layer(config.get("layer", as_dict), f"{config.place}, layer")
    # Keras 2 writes no backward layer that is made from the forward one.
    backward = config.get("backward_layer", optional(as_dict), None)
    return Bidirectional(
        layer,
        config.get("merge_mode", MERGE_MODE, "concat"),
        backward_layer=None if backward is None else read_layer(backward, f"{config.place}, backward_layer"),
    )


def _write(layer: Bidirectional, write_layer: WriteLayer) -> dict[str, Any]:
    forward, backward = layer.forward_and_backward
    return {
        "merge_mode": layer.merge_mode,
        "layer": write_layer(forward, "forward_layer"),
        "backward_layer": write_layer(backward, "backward_layer"),
    }


def _inside(layer: Bidirectional) -> list[tuple[Layer, str, str]]:
    return [(inner, *names) for inner, names in zip(layer.forward_and_backward, SIDES.items(), strict=True)]


KINDS = (
    Kind(
        "Bidirectional",
        Bidirectional,
        folders=lambda layer: folders_inside(_inside(layer)),
        copies=lambda layer: copies_inside(_inside(layer)),
        read=_read,
        write=_write,
        mask=lambda layer: "on" if layer.returns_sequences else "stop",
        masked_outputs=lambda layer: 2 if layer.merge_mode is None else 1,
        takes_mask=True,
        call=lambda layer: call_of(*layer.states),
    ),
)
