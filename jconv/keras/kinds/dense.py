"""Keras's fully connected layer."""

from __future__ import annotations

from ...layers import Dense
from ..config import flag, integer
from ..kind import Key, Kind, activation

KINDS = (
    Kind(
        "Dense",
        Dense,
        (
            Key("units", "units", integer),
            Key("activation", "activation", activation),
            Key("use_bias", "use_bias", flag),
        ),
        mask="on",
    ),
)
