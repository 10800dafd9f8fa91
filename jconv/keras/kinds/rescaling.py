"""Keras's layers that prepare inputs with fixed numbers."""

from __future__ import annotations

from typing import Any

from ...layers import Normalization, Rescaling
from .config import flag, number, optional
from .kind import Key, Kind
from .layer_normalization import axes


def numbers(value: Any) -> Any:
    """A number or nested lists of them, as tuples, also as Keras writes an array."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, dict) else None
    if isinstance(value, (list, tuple)):
        return tuple(numbers(part) for part in value)
    return number(value)


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


def _axes(value: Any) -> int | tuple[int, ...]:
    """An axis, several, or none at all for null."""
    return () if value is None else axes(value)


KINDS = (
    Kind(
        "Rescaling",
        Rescaling,
        (Key("scale", "scale", numbers, _lists), Key("offset", "offset", numbers, _lists)),
        mask="on",
    ),
    Kind(
        "Normalization",
        Normalization,
        (
            Key("axis", "axis", _axes, _lists),
            Key("mean", "mean", optional(numbers), _lists),
            Key("variance", "variance", optional(numbers), _lists),
            Key("invert", "invert", flag),
        ),
        mask="on",
    ),
)
