"""Arrays out of a `.npz`, without pickle and within the limits.

Keras 3 writes each object's arrays as a pickled dict in this format and refuses to read it back; plain members named by
path, `layers/dense/vars/0`, are read here. The header of a member is Python's text of a dict: it is matched with what
NumPy writes for numbers, and not evaluated.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np

from .errors import KerasFileError
from .limits import Budget
from .raw import array_of
from .zip import members, opened, read_member

Array = np.ndarray[Any, Any]

MAGIC = b"\x93NUMPY"
# The versions of the format, and how long the length of their header is.
LENGTHS = {b"\x01\x00": 2, b"\x02\x00": 4}
HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[iu][1248]|f[248]|b1))', 'fortran_order': (False|True), "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,31})\), \}\s*"
)


class NpzArrays:
    """The arrays of a `.npz` by their path."""

    def __init__(self, data: bytes, what: str, budget: Budget) -> None:
        self._archive = opened(io.BytesIO(data), what)
        self._what, self._budget = what, budget
        self._members = {name.removesuffix(".npy"): info for name, info in members(self._archive, what).items()}

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        return list(self._members)

    def read(self, path: str) -> Array:
        """The array at a path. Raises `KerasFileError` for one that is missing or holds anything but numbers."""
        where = f"array {path!a} of {self._what}"
        if path.rpartition("/vars/")[0] in self._members:
            raise KerasFileError(
                f"{self._what} has a pickled object for each layer, as Keras writes them; these are never loaded, by "
                "Keras neither: save the weights as .h5"
            )
        if path not in self._members:
            raise KerasFileError(f"{where} is missing")
        data = memoryview(read_member(self._archive, self._members[path], where, self._budget))
        start = len(MAGIC) + 2
        size = LENGTHS.get(bytes(data[len(MAGIC) : start]))
        if data[: len(MAGIC)] != MAGIC or size is None:
            raise KerasFileError(f"{where} is not in version 1 or 2 of NumPy's format")
        end = start + size + int.from_bytes(data[start : start + size], "little")
        header = bytes(data[start + size : end])
        found = HEADER.fullmatch(header)
        if found is None:
            raise KerasFileError(f"{where} must hold numbers, got {header[:200]!r}; pickled objects are never loaded")
        dtype, shape = np.dtype(found[1].decode()), tuple(int(n) for n in found[3].split(b",") if n)
        if math.prod(shape) * dtype.itemsize != len(data) - end:
            raise KerasFileError(f"{where} declares the shape {shape} of {dtype} and has {len(data) - end:,} bytes")
        try:
            return array_of(data[end:], dtype, shape, "F" if found[2] == b"True" else "C")
        except ValueError:
            raise KerasFileError(f"{where} declares the shape {shape}, which no array has") from None
