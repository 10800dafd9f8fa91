"""Keras's fully connected layer."""

from __future__ import annotations

from ...layers import Dense
from .config import flag, integer
from .kind import ACTIVATION, Key, Kind

KINDS = (
    Kind(
        "Dense",
        Dense,
        (
            Key("units", "units", integer),
            ACTIVATION,
            Key("use_bias", "use_bias", flag),
        ),
        mask="on",
    ),
)
