"""Pooling layers."""

from __future__ import annotations

from ...layers import (
    AdaptiveAveragePooling1D,
    AdaptiveMaxPooling1D,
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
)
from .config import flag, one_of, optional, single
from .convolution import as_list_of_one, size_key
from .kind import Key, Kind

WINDOW = (
    size_key("pool_size"),
    Key("strides", optional(single), optional(as_list_of_one), field="stride"),
    Key("padding", one_of("valid", "same")),
)
KEEPDIMS = (Key("keepdims", flag),)
OUTPUT_SIZE = (size_key("output_size"),)


KINDS = (
    Kind(AveragePooling1D, WINDOW, channels_first=True),
    Kind(MaxPooling1D, WINDOW, channels_first=True),
    Kind(GlobalAveragePooling1D, KEEPDIMS, channels_first=True, takes_mask=True),
    Kind(GlobalMaxPooling1D, KEEPDIMS, channels_first=True),
    Kind(AdaptiveAveragePooling1D, OUTPUT_SIZE, channels_first=True),
    Kind(AdaptiveMaxPooling1D, OUTPUT_SIZE, channels_first=True),
)
