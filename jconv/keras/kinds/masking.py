"""The layer that computes a mask from its input."""

from __future__ import annotations

from typing import Any

from ...layers import Masking, MaskOf
from .config import array, number
from .kind import Key, Kind


def _mask_value(value: Any) -> float:
    return number(array(value) if isinstance(value, dict) else value)


KINDS = (Kind("Masking", Masking, (Key("mask_value", _mask_value),), mask=lambda layer: MaskOf(layer.mask_value)),)
