"""The arrays of an HDF5 file by their path, and the texts that its groups have as attributes."""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO

import numpy as np

from ..limits import MOST_PARTS, Budget
from ..raw import array_of
from . import objects
from .chunks import read_chunks
from .objects import LONGEST_NAME, Message
from .source import UNDEFINED, Fields, Source
from .values import Text, Texts, attribute, shape_of, type_of

Array = np.ndarray[Any, Any]

DEPTH = 64
COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)


class Hdf5Arrays:
    """The arrays of an open file by their path, and the attributes of its groups; see `opened`."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source, self._budget = source, budget
        self._texts = Texts(source)
        self._arrays: dict[str, list[Message]] = {}
        self._groups: dict[str, dict[str, Message]] = {}
        self._read_texts: dict[tuple[str, str], list[bytes]] = {}
        self._walk()

    def with_slashes(self) -> Hdf5Arrays:
        """The same with slashes for the backslashes in paths: on Windows Keras names one group `layers\\conv1d`.

        Raises `KerasFileError` where two paths become one.
        """
        for found in (self._arrays, self._groups):
            for path in [path for path in found if "\\" in path]:
                self._add(found, path.replace("\\", "/"), found.pop(path))
        return self

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        return list(self._arrays)

    def read(self, path: str) -> Array:
        """The array at a path, in the byte order of this machine.

        Raises `KerasFileError` for one that is missing, holds anything but numbers, is not stored whole in the file,
        or declares more than the limits allow.
        """
        where = f"array {path!a}"
        if path not in self._arrays:
            self._source.fail(f"{where} is missing")
        found = self._arrays[path]
        parts = {message.kind: message for message in found}
        for kind, said in ((objects.TYPE, "type"), (objects.SPACE, "shape"), (objects.LAYOUT, "place")):
            if kind not in parts:
                self._source.fail(f"{where} has no {said}")
        if objects.EXTERNAL in parts:
            self._source.fail(f"{where} lies in another file; what a file points to is not read")
        dtype, shape = type_of(parts[objects.TYPE], self._source), shape_of(parts[objects.SPACE], self._source)
        if isinstance(dtype, Text):
            self._source.fail(f"{where} must hold numbers, got text")
        marked = self._text(self._attributes(found), "dtype", where) == [b"bfloat16"]
        array = self._values(parts, dtype, shape, where)
        if marked or dtype.kind == "V":
            import ml_dtypes

            # HDF5 has no bfloat16 of its own: Keras stores it as two bytes of no kind, and beside it writes its name,
            # but not in the file of a whole model, which Keras cannot load itself.
            halves = array.view(ml_dtypes.bfloat16) if dtype.kind == "V" else array
            return halves.astype(ml_dtypes.bfloat16, copy=False)
        return array

    def folders(self) -> dict[str, str]:
        """The folder of each layer by its name, `outer/inner` in a model, where Keras wrote names beside the arrays."""
        names: dict[str, str] = {}
        found: dict[str, str] = {}
        for path in sorted(self._groups, key=lambda path: path.count("/")):
            if path.endswith("/vars") and self.has_attribute("name", path):
                folder = path.removesuffix("/vars")
                above = names.get(folder.rpartition("/layers/")[0], "")
                name = f"{above}{(self.text('name', path) or b'').decode('utf-8', 'replace')}"
                if len(name) > LONGEST_NAME:
                    self._source.fail(f"group {path!a} has a name of {len(name):,} characters")
                names[folder], found[name] = f"{name}/", folder
        return found

    def has_attribute(self, name: str, group: str = "") -> bool:
        """Whether a group has an attribute of this name, in one piece or in several."""
        return not {name, f"{name}0"}.isdisjoint(self._groups[group])

    def text(self, name: str, group: str = "") -> bytes | None:
        """A string attribute as bytes; None where there is none."""
        value = self._attribute(name, group)
        return None if value is None else b"".join(value)

    def texts(self, name: str, group: str = "") -> list[str]:
        """An attribute that is a list of strings, which Keras splits over `name0`, `name1`, ... when it is long."""
        what = f"attribute {name!a} of group {group!a}"
        if group not in self._groups:
            self._source.fail(f"group {group!a} is missing")
        found = self._attribute(name, group)
        if found is None:
            found = []
            for number in range(MOST_PARTS):
                more = self._attribute(f"{name}{number}", group)
                if more is None:
                    break
                found += more
        try:
            return [value.decode("utf-8") for value in found]
        except UnicodeDecodeError:
            self._source.fail(f"{what} is not text in UTF-8")

    def _walk(self) -> None:
        """Find every group and array, each of which must be in one place."""
        seen: set[int] = set()
        waiting = [("", objects.root(self._source))]
        while waiting:
            path, address = waiting.pop()
            if address in seen:
                self._source.fail(f"{path!a} is reached twice")
            seen.add(address)
            if path.count("/") > DEPTH or len(seen) + len(waiting) > MOST_PARTS:
                self._source.fail(f"{path!a} is too deep, or one of more than {MOST_PARTS:,} groups and arrays")
            found = objects.messages(self._source, address)
            kinds = {message.kind for message in found}
            if objects.LAYOUT in kinds:
                self._add(self._arrays, path, found)
            elif kinds & {objects.SYMBOL_TABLE, objects.LINK_INFO, objects.LINK}:
                self._add(self._groups, path, self._attributes(found))
                above = f"{path}/" if path else ""
                waiting += [(f"{above}{name}", child) for name, child in objects.members(self._source, found)]
            else:
                self._source.fail(f"{path!a} is neither a group nor an array")
        if "" not in self._groups:
            self._source.fail("it has no group to begin with")

    def _add(self, where: dict[str, Any], path: str, value: Any) -> None:
        if path in where:
            self._source.fail(f"the name {path!a} is used twice")
        where[path] = value

    def _attributes(self, found: list[Message]) -> dict[str, Message]:
        attributes: dict[str, Message] = {}
        for message in objects.attributes(self._source, found):
            self._add(attributes, attribute(message, self._source)[0], message)
        return attributes

    def _attribute(self, name: str, group: str) -> list[bytes] | None:
        if (group, name) not in self._read_texts:
            value = self._text(self._groups[group], name, f"attribute {name!a} of group {group!a}")
            if value is None:
                return None
            self._read_texts[group, name] = value
        return self._read_texts[group, name]

    def _text(self, attributes: dict[str, Message], name: str, what: str) -> list[bytes] | None:
        return self._texts.read(attributes[name], what) if name in attributes else None

    def _values(self, parts: dict[int, Message], dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> Array:
        fields = Fields(parts[objects.LAYOUT].data, self._source)
        newer = fields.expect("version of an array's place", 3, 4, 5) > 3
        layout = fields.integer(1)
        if layout == CHUNKED:
            filters = parts.get(objects.FILTERS)
            return read_chunks(self._source, fields, newer, filters, dtype, shape, self._budget, where)
        if layout not in (COMPACT, CONTIGUOUS):
            what = "is put together from others" if layout == VIRTUAL else "is stored in no way that Keras has"
            self._source.fail(f"{where} {what}; what a file points to is not read")
        declared = math.prod(shape) * dtype.itemsize
        address, stored = fields.integers(2, 8) if layout == CONTIGUOUS else (0, fields.integer(2))
        stored = 0 if address == UNDEFINED else stored
        if declared > stored:
            self._source.fail(f"{where} declares {declared:,} bytes and stores {stored:,}")
        self._budget.spend(declared, f"{where} of {self._source.what}")
        data = fields.take(declared) if layout == COMPACT else self._source.read(address if declared else 0, declared)
        try:
            return array_of(data, dtype, shape)
        except ValueError:
            self._source.fail(f"{where} declares the shape {shape}, which no array has")


def opened(data: bytes | BinaryIO, what: str, budget: Budget) -> Hdf5Arrays:
    """The arrays of an HDF5 file, given as its bytes or as the open file.

    Raises `KerasFileError`, naming `what`, for a file that is none, is damaged or points outside itself.
    """
    size = len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END)
    return Hdf5Arrays(Source(data, size, what), budget)
