"""keras-tcn's layer."""

from __future__ import annotations

from typing import Any

from ...layers import Layer
from ..tcn import TCN
from .config import Config, flag, integer, integers, number, one_of
from .kind import Kind, ReadLayer, activation


def _read(config: Config, read_layer: ReadLayer) -> Layer:
    dilations = config.get("dilations", integers, (1, 2, 4, 8, 16, 32))
    filters = config.get("nb_filters", _sizes, 64)
    norms = {name: config.get(f"use_{name}_norm", flag, False) for name in ("batch", "layer", "weight")}
    if norms["weight"] or sum(norms.values()) > 1:
        config.fail(f"its normalization must be one of batch and layer, got {[name for name in norms if norms[name]]}")
    if config.get("return_state", flag, False):
        config.fail("return_state must be false; jconv has no state of a TCN")
    return TCN(
        (filters,) * len(dilations) if isinstance(filters, int) else filters,
        dilations,
        config.get("kernel_size", integer, 3),
        config.get("nb_stacks", integer, 1),
        config.get("padding", one_of("causal", "same"), "causal"),
        config.get("use_skip_connections", flag, True),
        config.get("dropout_rate", number, 0.0),
        config.get("return_sequences", flag, False),
        config.get("activation", activation, "relu"),
        next((name for name in norms if norms[name]), ""),
        config.get("go_backwards", flag, False),
    )


def _sizes(value: Any) -> int | tuple[int, ...]:
    return integers(value) if isinstance(value, list) else integer(value)


# Of packages, by the class's own name: the first part of its module.
PACKAGE = "tcn"
KIND = Kind("TCN", TCN, read=_read, folders=lambda layer: layer.folders())
