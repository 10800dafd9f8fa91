"""Keras's layers that change the shape and compute nothing."""

from __future__ import annotations

from typing import Any

from ...layers import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from .config import as_list, integer, integers, optional, single
from .kind import Key, Kind


def _ends(value: Any) -> int | tuple[int, ...]:
    """A number for both ends, or one for each."""
    return integers(value) if isinstance(value, (list, tuple)) else integer(value)


def _pair(value: Any) -> list[int]:
    """Both ends, as Keras writes them."""
    return list(value) if isinstance(value, tuple) else [value, value]


def _sizes(value: Any) -> tuple[int | None, ...]:
    """Sizes, of which one may be null."""
    return tuple(optional(integer)(size) for size in as_list(value))


KINDS = (
    Kind("ZeroPadding1D", ZeroPadding1D, (Key("padding", "padding", _ends, _pair),), channels_first=True),
    Kind("Cropping1D", Cropping1D, (Key("cropping", "cropping", _ends, _pair),)),
    Kind("UpSampling1D", UpSampling1D, (Key("size", "size", single),)),
    Kind("RepeatVector", RepeatVector, (Key("n", "n", integer),)),
    Kind("Permute", Permute, (Key("dims", "dims", integers, list),)),
    Kind("Reshape", Reshape, (Key("target_shape", "target_shape", _sizes, list),)),
    Kind("Flatten", Flatten, channels_first=True),
)
