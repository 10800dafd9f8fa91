"""Keras's layer that makes a mask."""

from __future__ import annotations

from typing import Any

from ...layers import Masking, MaskOf
from .config import number
from .kind import Key, Kind


def _value(value: Any) -> float:
    """A number, also as Keras writes one that was an array."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, dict) else None
    return number(value)


KINDS = (
    Kind("Masking", Masking, (Key("mask_value", "mask_value", _value),), mask=lambda layer: MaskOf(layer.mask_value)),
)
