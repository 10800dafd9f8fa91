"""Bytes as NumPy arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def to_array(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any = "C") -> Array:
    """The first bytes of `data` as an array in native byte order, aligned, with booleans 0 and 1.

    Raises `ValueError` for a shape beyond NumPy's sizes, which an array without elements may declare.

    >>> to_array(b"\\x00\\x01\\x00\\x02", np.dtype(">u2"), (1, 2)).tolist()
    [[1, 2]]
    """
    try:
        array = np.frombuffer(data, dtype, math.prod(shape)).reshape(shape, order=order)
    except OverflowError:
        raise ValueError("a size is too large") from None
    return to_native(array)


def to_native(array: Array) -> Array:
    """The array in native byte order, aligned, with booleans 0 and 1."""
    if array.dtype.kind == "b":
        return array.view(np.uint8) != 0
    return np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements="A")
