"""Keras's activation with arrays."""

from __future__ import annotations

from typing import Any

from ...layers import PReLU
from .config import integer, integers, optional
from .kind import Key, Kind


def _axes(value: Any) -> tuple[int, ...]:
    """Axes, also a single one that is in no list."""
    return integers(value) if isinstance(value, (list, tuple)) else (integer(value),)


KINDS = (Kind("PReLU", PReLU, (Key("shared_axes", "shared_axes", optional(_axes), optional(list)),), mask="on"),)
