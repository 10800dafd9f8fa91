"""Pooling layers."""

from __future__ import annotations

from ...layers import (
    AdaptiveAveragePooling1D,
    AdaptiveMaxPooling1D,
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Layer,
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
KEEPDIMS = Key("keepdims", flag)


def _kind(layer: type[Layer], *keys: Key, takes_mask: bool = False) -> Kind:
    return Kind(layer.__name__, layer, keys, channels_first=True, takes_mask=takes_mask)


KINDS = (
    _kind(AveragePooling1D, *WINDOW),
    _kind(MaxPooling1D, *WINDOW),
    _kind(GlobalAveragePooling1D, KEEPDIMS, takes_mask=True),
    _kind(GlobalMaxPooling1D, KEEPDIMS),
    _kind(AdaptiveAveragePooling1D, size_key("output_size")),
    _kind(AdaptiveMaxPooling1D, size_key("output_size")),
)
