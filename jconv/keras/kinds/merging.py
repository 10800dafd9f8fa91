"""Keras's layers that read several inputs and return one."""

from __future__ import annotations

from ...layers import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from ..config import integer
from ..kind import Key, Kind

KINDS = (
    *(Kind(layer.__name__, layer, mask="on") for layer in (Add, Average, Maximum, Minimum, Multiply, Subtract)),
    Kind("Concatenate", Concatenate, (Key("axis", "axis", integer),), mask="on"),
)
