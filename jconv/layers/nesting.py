"""What layers that hold layers need: names with a prefix, and options of a layer inside transparent ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from .base import Layer
from .transparent import InMode, Transparent


def prefixed(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """The same with `"prefix/"` before each name.

    >>> prefixed("layer", {"kernel": 1})
    {'layer/kernel': 1}
    """
    return {f"{prefix}/{name}": value for name, value in named.items()}


def stripped(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """Those whose names begin with `"prefix/"`, without it.

    >>> stripped("layer", {"layer/kernel": 1, "other/kernel": 2})
    {'kernel': 1}
    """
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}


def core(layer: Any) -> Any:
    """The layer itself, or the one inside layers such as `Frozen` and `InDtype`."""
    while isinstance(layer, Transparent):
        layer = layer.layer
    return layer


def uncalled(layer: Layer) -> Layer:
    """The layer without what a call of it says: the same for all calls of one layer.

    >>> from jconv.layers import BatchNormalization
    >>> uncalled(BatchNormalization(inputs=("sequence", "mask"))) == BatchNormalization()
    True
    """
    layer = _without_mode(layer)
    inner = core(layer)
    called = {f.name: f.default for f in fields(inner) if f.name in inner.CALLED and f.default is not MISSING}
    return with_options(layer, **called) if called else layer


def _without_mode(layer: Layer) -> Layer:
    if isinstance(layer, InMode):
        return _without_mode(layer.layer)
    return replace(layer, layer=_without_mode(layer.layer)) if isinstance(layer, Transparent) else layer


def with_options(layer: Layer, **options: Any) -> Layer:
    """The layer with other values for some fields of its core."""
    if isinstance(layer, Transparent):
        return replace(layer, layer=with_options(layer.layer, **options))
    return replace(layer, **options)
