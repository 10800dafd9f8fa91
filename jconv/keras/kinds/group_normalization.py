"""Keras's group normalization."""

from __future__ import annotations

from ...layers import GroupNormalization
from .config import flag, integer, number, single
from .kind import Key, Kind

KINDS = (
    Kind(
        "GroupNormalization",
        GroupNormalization,
        (
            Key("groups", "groups", integer),
            Key("axis", "axis", single),
            Key("epsilon", "epsilon", number),
            Key("center", "center", flag),
            Key("scale", "scale", flag),
        ),
        mask="on",
    ),
)
