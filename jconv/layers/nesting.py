"""Helpers for layers that contain layers: prefixes of array names, unwrapping, changing options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from ..planner import AUTO
from .base import Layer
from .wrapper import InMode, Wrapper


def add_prefix(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with `"prefix/"` before each name.

    >>> add_prefix("layer", {"kernel": 1})
    {'layer/kernel': 1}
    """
    return {f"{prefix}/{name}": value for name, value in named.items()}


def strip_prefix(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """The entries whose names begin with `"prefix/"`, without this prefix.

    >>> strip_prefix("layer", {"layer/kernel": 1, "other/kernel": 2})
    {'kernel': 1}
    """
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}


def unwrap(layer: Any) -> Any:
    """The layer inside all wrappers such as `Frozen` and `InDtype`; a layer without wrappers is returned as it is."""
    while isinstance(layer, Wrapper):
        layer = layer.layer
    return layer


def remove_call_options(layer: Layer) -> Layer:
    """The layer with the defaults of all options that belong to a call, so that all calls of one layer are equal.

    >>> from jconv.layers import BatchNormalization
    >>> remove_call_options(BatchNormalization(inputs=("sequence", "mask"))) == BatchNormalization()
    True
    """
    layer = _remove_mode(layer)
    inner = unwrap(layer)
    called = {f.name: f.default for f in fields(inner) if f.name in inner.CALL_OPTIONS and f.default is not MISSING}
    return replace_options(layer, **called) if called else layer


def _remove_mode(layer: Layer) -> Layer:
    if isinstance(layer, InMode):
        return _remove_mode(layer.layer)
    return replace(layer, layer=_remove_mode(layer.layer)) if isinstance(layer, Wrapper) else layer


def replace_options(layer: Layer, **options: Any) -> Layer:
    """The layer with other values for fields of the layer inside its wrappers."""
    if isinstance(layer, Wrapper):
        return replace(layer, layer=replace_options(layer.layer, **options))
    return replace(layer, **options)


def with_algorithm(layer: Layer, algorithm: str) -> Layer:
    """The layer with `algorithm` where it, or a layer inside it, has `"auto"`.

    >>> from jconv.layers import Conv1D, TimeDistributed
    >>> with_algorithm(TimeDistributed(Conv1D(8, 3)), "fastest").layer.algorithm
    'fastest'
    """
    changes: dict[str, Any] = {}
    for field in fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, Layer):
            changes[field.name] = with_algorithm(value, algorithm)
        elif field.name == "algorithm" and value == AUTO:
            changes[field.name] = algorithm
        elif field.name == "model" and hasattr(value, "nodes"):
            changes[field.name] = model_with_algorithm(value, algorithm)
    return replace(layer, **changes) if changes else layer


def model_with_algorithm(model: Any, algorithm: str) -> Any:
    """The model with `with_algorithm` applied to each layer."""
    nodes = (replace(node, layer=with_algorithm(node.layer, algorithm)) for node in model.nodes)
    return model if algorithm == AUTO else replace(model, nodes=tuple(nodes))
