"""Bytes of a file into an array of this machine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def array_of(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any = "C") -> Array:
    """The first bytes of `data` as an array in this machine's byte order, aligned, its booleans 0 and 1.

    Raises `ValueError` for a shape beyond NumPy's sizes, which one without values may have.

    >>> array_of(b"\\x00\\x01\\x00\\x02", np.dtype(">u2"), (1, 2)).tolist()
    [[1, 2]]
    """
    try:
        array = np.frombuffer(data, dtype, math.prod(shape)).reshape(shape, order=order)
    except OverflowError:
        raise ValueError("a size is too large") from None
    return native(array)


def native(array: Array) -> Array:
    """An array in this machine's byte order, aligned, its booleans 0 and 1."""
    if array.dtype.kind == "b":
        return array.view(np.uint8) != 0
    return np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements="A")
