"""Keras's pooling to a given length."""

from __future__ import annotations

from ...layers import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .config import single
from .convolution import listed
from .kind import Key, Kind

KINDS = tuple(
    Kind(layer.__name__, layer, (Key("output_size", "output_size", single, listed),), channels_first=True)
    for layer in (AdaptiveAveragePooling1D, AdaptiveMaxPooling1D)
)
