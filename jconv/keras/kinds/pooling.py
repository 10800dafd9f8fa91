"""Keras's pooling over windows."""

from __future__ import annotations

from ...layers import AveragePooling1D, MaxPooling1D
from .config import one_of, optional, single
from .convolution import listed
from .kind import Key, Kind

KEYS = (
    Key("pool_size", "pool_size", single, listed),
    Key("strides", "stride", optional(single), optional(listed)),
    Key("padding", "padding", one_of("valid", "same")),
)

KINDS = tuple(Kind(layer.__name__, layer, KEYS, channels_first=True) for layer in (AveragePooling1D, MaxPooling1D))
