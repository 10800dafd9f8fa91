"""The arrays of an HDF5 file by path, and the strings in the attributes of its groups."""

from __future__ import annotations

import math
import os
from itertools import count, takewhile
from typing import Any, BinaryIO

import numpy as np

from ..limits import MAX_ITEMS, MAX_METADATA_BYTES, MAX_NAME, Budget
from ..raw import to_array
from . import objects
from .chunks import read_chunks
from .objects import Message
from .source import UNDEFINED, Fields, Source
from .values import AttributeReader, StringType, read_attribute, read_shape, read_type

Array = np.ndarray[Any, Any]

MAX_DEPTH = 64
COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)


class Hdf5Arrays:
    """The arrays of an open file by path, and the attributes of its groups; see `open_arrays`."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source, self._budget = source, budget
        self._reader = AttributeReader(source)
        # The header messages of each array, and the attributes of each group.
        self._arrays: dict[str, list[Message]] = {}
        self._groups: dict[str, dict[str, Message]] = {}
        self._cache: dict[tuple[str, str], list[bytes]] = {}
        self._find_objects()

    def with_slashes(self) -> Hdf5Arrays:
        """The same with `/` for `\\` in paths: on Windows, Keras writes one group named `layers\\conv1d`.

        Raises `KerasFileError` if two paths become the same.
        """
        for table in (self._arrays, self._groups):
            for path in [path for path in table if "\\" in path]:
                self._add(table, path.replace("\\", "/"), table.pop(path))
        return self

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        return list(self._arrays)

    def read(self, path: str) -> Array:
        """The array at `path`, in native byte order.

        Raises `KerasFileError` if it is missing, does not contain numbers, is not completely stored in the file, or
        declares more than the limits allow.
        """
        where = f"array {path!a}"
        if path not in self._arrays:
            self._source.fail(f"{where} is missing")
        header = self._arrays[path]
        parts = {message.kind: message for message in header}
        for kind, name in ((objects.DATATYPE, "type"), (objects.DATASPACE, "shape"), (objects.LAYOUT, "layout")):
            if kind not in parts:
                self._source.fail(f"{where} has no {name}")
        if objects.EXTERNAL_FILES in parts:
            self._source.fail(f"{where} is stored in another file; references to other files are not followed")
        dtype = read_type(parts[objects.DATATYPE], self._source)
        shape = read_shape(parts[objects.DATASPACE], self._source)
        if isinstance(dtype, StringType):
            self._source.fail(f"{where} must contain numbers, got text")
        attributes = self._attributes(header)
        is_marked = "dtype" in attributes and self._reader.read(attributes["dtype"], where) == [b"bfloat16"]
        array = self._values(parts, dtype, shape, where)
        if is_marked or dtype.kind == "V":
            import ml_dtypes

            # HDF5 has no bfloat16. Keras stores it as opaque elements of two bytes, and in the files of Keras 3 adds
            # an attribute with the name of the type.
            array = array.view(ml_dtypes.bfloat16) if dtype.kind == "V" else array
            return array.astype(ml_dtypes.bfloat16, copy=False)
        return array

    def folders(self) -> dict[str, str]:
        """The folder of each layer by name, `outer/inner` for a layer of an inner model, if Keras stored the names."""
        names: dict[str, str] = {}
        folders: dict[str, str] = {}
        for path in sorted(self._groups, key=lambda path: path.count("/")):
            if path.endswith("/vars") and self.has_attribute("name", path):
                folder = path.removesuffix("/vars")
                outer = names.get(folder.rpartition("/layers/")[0], "")
                name = f"{outer}{(self.text('name', path) or b'').decode('utf-8', 'replace')}"
                if len(name) > MAX_NAME:
                    self._source.fail(f"group {path!a} has a name of {len(name):,} characters; the limit is {MAX_NAME}")
                names[folder], folders[name] = f"{name}/", folder
        return folders

    def has_attribute(self, name: str, group: str = "") -> bool:
        """Whether a group has an attribute of this name, complete or split."""
        return not {name, f"{name}0"}.isdisjoint(self._groups[group])

    def text(self, name: str, group: str = "") -> bytes | None:
        """The string in an attribute of a group; None if there is no such attribute."""
        return b"".join(self._strings(name, group)) if name in self._groups[group] else None

    def texts(self, name: str, group: str = "") -> list[str]:
        """The list of strings in an attribute of a group; Keras splits a long one into `name0`, `name1`, ..."""
        if group not in self._groups:
            self._source.fail(f"group {group!a} is missing")
        attributes = self._groups[group]
        split = takewhile(attributes.__contains__, (f"{name}{number}" for number in count()))
        names = [name] if name in attributes else split
        try:
            return [string.decode("utf-8") for own in names for string in self._strings(own, group)]
        except UnicodeDecodeError:
            self._source.fail(f"attribute {name!a} of group {group!a} is not UTF-8")

    def _find_objects(self) -> None:
        """Find all groups and arrays, each of which must have one path only."""
        seen: set[int] = set()
        waiting = [("", objects.root(self._source))]
        characters = 0
        while waiting:
            path, address = waiting.pop()
            if address in seen:
                self._source.fail(f"{path!a} is an object that has another path too")
            seen.add(address)
            if path.count("/") > MAX_DEPTH:
                self._source.fail(f"{path!a} is nested deeper than {MAX_DEPTH} levels")
            header = objects.messages(self._source, address)
            kinds = {message.kind for message in header}
            if objects.LAYOUT in kinds:
                self._add(self._arrays, path, header)
            elif kinds & {objects.SYMBOL_TABLE, objects.LINK_INFO, objects.LINK}:
                self._add(self._groups, path, self._attributes(header))
                prefix = f"{path}/" if path else ""
                for name, child in objects.members(self._source, header):
                    waiting.append((f"{prefix}{name}", child))
                    characters += len(prefix) + len(name)
                    if characters > MAX_METADATA_BYTES:
                        self._source.fail(f"the paths of its objects have more than {MAX_METADATA_BYTES:,} characters")
                    self._check_count(len(seen) + len(waiting), "groups and arrays")
            else:
                self._source.fail(f"{path!a} is neither a group nor an array")
        if "" not in self._groups:
            self._source.fail("the root is not a group")

    def _check_count(self, count: int, what: str) -> None:
        if count > MAX_ITEMS:
            self._source.fail(f"there are more than {MAX_ITEMS:,} {what}")

    def _add(self, table: dict[str, Any], name: str, value: Any) -> None:
        if name in table:
            self._source.fail(f"the name {name!a} is used twice")
        table[name] = value

    def _attributes(self, header: list[Message]) -> dict[str, Message]:
        attributes: dict[str, Message] = {}
        for message in objects.attributes(self._source, header):
            self._add(attributes, read_attribute(message, self._source)[0], message)
            self._check_count(len(attributes), "attributes of one object")
        return attributes

    def _strings(self, name: str, group: str) -> list[bytes]:
        """The strings in an attribute of a group."""
        if (group, name) not in self._cache:
            what = f"attribute {name!a} of group {group!a}"
            self._cache[group, name] = self._reader.read(self._groups[group][name], what)
        return self._cache[group, name]

    def _values(self, parts: dict[int, Message], dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> Array:
        fields = Fields(parts[objects.LAYOUT].data, self._source)
        is_v4 = fields.expect("version of a layout", 3, 4, 5) > 3
        layout = fields.integer(1)
        if layout == CHUNKED:
            pipeline = parts.get(objects.FILTERS)
            return read_chunks(self._source, fields, is_v4, pipeline, dtype, shape, self._budget, where)
        if layout == VIRTUAL:
            self._source.fail(f"{where} is a virtual dataset; references to other datasets are not followed")
        if layout not in (COMPACT, CONTIGUOUS):
            self._source.fail(f"{where} has the unknown layout {layout}")
        declared = math.prod(shape) * dtype.itemsize
        address, stored = fields.integers(2, 8) if layout == CONTIGUOUS else (0, fields.integer(2))
        stored = 0 if address == UNDEFINED else stored
        if declared > stored:
            self._source.fail(f"{where} declares {declared:,} bytes but stores {stored:,}")
        self._budget.spend(declared, f"{where} of {self._source.what}")
        data = fields.take(declared) if layout == COMPACT else self._source.read(address if declared else 0, declared)
        try:
            return to_array(data, dtype, shape)
        except ValueError:
            self._source.fail(f"{where} declares the shape {shape}, which NumPy does not support")


def open_arrays(data: bytes | BinaryIO, what: str, budget: Budget) -> Hdf5Arrays:
    """The arrays of an HDF5 file, given as bytes or as an open file.

    Raises `KerasFileError`, naming `what`, for a file that is not HDF5, is damaged, or refers to other files.
    """
    size = len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END)
    return Hdf5Arrays(Source(data, size, what), budget)
