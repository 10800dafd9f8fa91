"""Keras's product of two inputs."""

from __future__ import annotations

from typing import Any

from ...layers import Dot
from .config import flag, integer, integers
from .kind import Key, Kind


def _axes(value: Any) -> int | tuple[int, ...]:
    """An axis of both, or one of each."""
    return integers(value) if isinstance(value, (list, tuple)) else integer(value)


def _written(axes: int | tuple[int, ...]) -> int | list[int]:
    return list(axes) if isinstance(axes, tuple) else axes


KINDS = (Kind("Dot", Dot, (Key("axes", "axes", _axes, _written), Key("normalize", "normalize", flag))),)
