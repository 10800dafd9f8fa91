"""Keras's normalizations of each example."""

from __future__ import annotations

from typing import Any

from ...layers import LayerNormalization, RMSNormalization, UnitNormalization
from .config import flag, integer, integers, number
from .kind import Key, Kind


def axes(value: Any) -> int | tuple[int, ...]:
    """An axis, or several of them."""
    return integers(value) if isinstance(value, (list, tuple)) else integer(value)


def listed(value: Any) -> Any:
    """A tuple as a list, anything else as it is."""
    return list(value) if isinstance(value, tuple) else value


AXIS = Key("axis", "axis", axes, listed)
EPSILON = Key("epsilon", "epsilon", number)

KINDS = (
    Kind(
        "LayerNormalization",
        LayerNormalization,
        (
            AXIS,
            EPSILON,
            Key("center", "center", flag),
            Key("scale", "scale", flag),
            Key("rms_scaling", "rms_scaling", flag),
        ),
        mask="on",
    ),
    Kind("RMSNormalization", RMSNormalization, (AXIS, EPSILON)),
    Kind("UnitNormalization", UnitNormalization, (AXIS,), mask="on"),
)
