"""Keras's pooling over the whole length."""

from __future__ import annotations

from ...layers import GlobalAveragePooling1D, GlobalMaxPooling1D
from .config import flag
from .kind import Key, Kind

KEYS = (Key("keepdims", "keepdims", flag),)

KINDS = (
    Kind("GlobalAveragePooling1D", GlobalAveragePooling1D, KEYS, channels_first=True, takes_mask=True),
    Kind("GlobalMaxPooling1D", GlobalMaxPooling1D, KEYS, channels_first=True),
)
