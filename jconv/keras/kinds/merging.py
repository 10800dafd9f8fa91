"""Keras's layers that read several inputs and return one."""

from __future__ import annotations

from ...layers import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .config import integer
from .kind import Key, Kind

KINDS = (
    *(Kind(layer.__name__, layer, mask="on", joins="any") for layer in (Add, Average, Subtract)),
    *(Kind(layer.__name__, layer, mask="on", joins="any", reads_masks=True) for layer in (Maximum, Minimum, Multiply)),
    Kind("Concatenate", Concatenate, (Key("axis", "axis", integer),), mask="on", joins="beside"),
)
