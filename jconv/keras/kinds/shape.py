"""Layers that change the shape and compute nothing."""

from __future__ import annotations

from typing import Any

from ...layers import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from .config import integer, integers, one_or_more_integers, single, sizes
from .kind import Key, Kind


def _pair(value: Any) -> list[int]:
    """The sizes at both ends, as Keras writes them."""
    return list(value) if isinstance(value, tuple) else [value, value]


KINDS = (
    Kind("ZeroPadding1D", ZeroPadding1D, (Key("padding", one_or_more_integers, _pair),), channels_first=True),
    Kind("Cropping1D", Cropping1D, (Key("cropping", one_or_more_integers, _pair),)),
    Kind("UpSampling1D", UpSampling1D, (Key("size", single),)),
    Kind("RepeatVector", RepeatVector, (Key("n", integer),)),
    Kind("Permute", Permute, (Key("dims", integers, list),)),
    Kind("Reshape", Reshape, (Key("target_shape", sizes, list),)),
    Kind("Flatten", Flatten, channels_first=True),
)
