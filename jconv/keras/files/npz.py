"""Arrays of a `.npz` file, without pickle and within the limits.

Keras 3 writes the arrays of each object as a pickled dict in this format, and refuses to load these files. jconv reads
archives with one plain `.npy` per array, named by its path, for example `layers/dense/vars/0`. The header of a `.npy`
file is the text of a Python dict; here it is matched against the form that NumPy writes and never evaluated.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np

from .errors import KerasFileError
from .limits import Budget
from .raw import to_array
from .zip import list_members, open_archive, read_member

Array = np.ndarray[Any, Any]

MAGIC = b"\x93NUMPY"
# The versions of the format, and the number of bytes of their header length.
LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}
HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[iu][1248]|f[248]|b1))', 'fortran_order': (False|True), "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,31})\), \}\s*"
)


class NpzArrays:
    """The arrays of a `.npz` file by path."""

    def __init__(self, data: bytes, what: str, budget: Budget) -> None:
        self._archive = open_archive(io.BytesIO(data), what)
        self._what, self._budget = what, budget
        self._members = {name.removesuffix(".npy"): info for name, info in list_members(self._archive, what).items()}

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        return list(self._members)

    def read(self, path: str) -> Array:
        """The array at `path`. Raises `KerasFileError` if it is missing or does not contain numbers."""
        where = f"array {path!a} of {self._what}"
        if path.rpartition("/vars/")[0] in self._members:
            raise KerasFileError(
                f"{self._what} contains pickled objects, as Keras writes them; neither Keras nor jconv loads these: "
                "save the weights as .h5"
            )
        if path not in self._members:
            raise KerasFileError(f"{where} is missing")
        data = memoryview(read_member(self._archive, self._members[path], where, self._budget))
        start = len(MAGIC) + 2
        size = LENGTH_BYTES.get(bytes(data[len(MAGIC) : start]))
        if data[: len(MAGIC)] != MAGIC or size is None:
            raise KerasFileError(f"{where} is not in version 1 or 2 of NumPy's format")
        end = start + size + int.from_bytes(data[start : start + size], "little")
        header = bytes(data[start + size : end])
        match = HEADER.fullmatch(header)
        if match is None:
            raise KerasFileError(f"{where} must contain numbers, got {header[:200]!r}; pickled objects are not loaded")
        dtype, shape = np.dtype(match[1].decode()), tuple(int(n) for n in match[3].split(b",") if n)
        if math.prod(shape) * dtype.itemsize != len(data) - end:
            raise KerasFileError(f"{where} declares the shape {shape} of {dtype} but has {len(data) - end:,} bytes")
        try:
            return to_array(data[end:], dtype, shape, "F" if match[2] == b"True" else "C")
        except ValueError:
            raise KerasFileError(f"{where} declares the shape {shape}, which NumPy does not support") from None
