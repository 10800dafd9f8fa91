"""Arrays out of a `.npz`, without pickle and within the limits.

Keras 3 writes each object's arrays as a pickled dict in this format and refuses to read it back; plain members named by
path, `layers/dense/vars/0`, are read here.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np

from .errors import KerasFileError
from .limits import Budget
from .zipped import members, read_member

Array = np.ndarray[Any, Any]


class NpzArrays:
    """The arrays of a `.npz` by their path."""

    def __init__(self, data: bytes, what: str, budget: Budget) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise KerasFileError(f"{what} cannot be read as npz: {error}") from None
        self._what, self._budget = what, budget
        self._members = {name.removesuffix(".npy"): info for name, info in members(self._archive, what).items()}

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        return list(self._members)

    def read(self, path: str) -> Array:
        """The array at a path. Raises `KerasFileError` for one that is missing or holds anything but numbers."""
        where = f"array {path!r} of {self._what}"
        if path not in self._members:
            raise KerasFileError(f"{where} is missing")
        data = read_member(self._archive, self._members[path], where, self._budget)
        stream = io.BytesIO(data)
        try:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(stream)
        except (ValueError, EOFError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise KerasFileError(f"{where} has no npy header: {str(error).partition(chr(10))[0][:200]}") from None
        if dtype.hasobject or dtype.kind not in "fiub":
            raise KerasFileError(f"{where} must hold numbers, got the type {dtype}; pickled objects are never loaded")
        if math.prod(shape) * dtype.itemsize != len(data) - stream.tell() or min(shape, default=0) < 0:
            raise KerasFileError(f"{where} declares the shape {shape} of {dtype} and has {len(data)} bytes")
        stream.seek(0)
        return np.load(stream, allow_pickle=False)
