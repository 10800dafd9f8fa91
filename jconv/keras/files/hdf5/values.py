"""Types, shapes, and the strings in attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np

from ..limits import MAX_AXES, MAX_ITEMS
from .objects import Message
from .source import Fields, Source

CLASSES = (
    *("integer", "float", "time", "string", "bitfield", "opaque"),
    *("compound", "reference", "enumeration", "sequence", "array", "unknown"),
)

# The index of an object in a global heap, and its size.
HEAP_OBJECT = Struct("<H6xQ")


@dataclass(frozen=True)
class StringType:
    """Strings of `size` bytes each, or if `is_variable`, of any size in global heaps."""

    size: int
    is_variable: bool


def _encoded_numbers() -> Iterator[tuple[bytes, str]]:
    """The encoding in HDF5, after the first byte, of each type of number that Keras stores, and its name in NumPy."""
    for order, letter in ((0, "<"), (1, ">")):
        for size in (1, 2, 4, 8):
            for flags, kind in ((0, "u"), (8, "i")):
                yield bytes([order | flags, 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0]), f"{letter}{kind}{size}"
        for size, exponent in ((2, 5), (4, 8), (8, 11)):
            sign, mantissa = 8 * size - 1, 8 * size - 1 - exponent
            fields = (order | 0x20, sign, 0, size, 0, 0, 0, 0, 0, 8 * size, 0, mantissa, exponent, 0, mantissa)
            yield bytes(fields) + (2 ** (exponent - 1) - 1).to_bytes(4, "little"), f"{letter}f{size}"


NUMBERS = {encoded: np.dtype(name) for encoded, name in _encoded_numbers()}
# h5py stores booleans as an enumeration of FALSE and TRUE, with names padded to 8 bytes before version 3.
BOOL = bytes.fromhex("02000001000000 1008000001000000 00000800 46414c5345000000 5452554500000000 0001")
BOOL_V3 = re.compile(
    bytes.fromhex("02000001000000") + b"." + bytes.fromhex("08000001000000 00000800") + b"FALSE\0TRUE\0\0\1", re.DOTALL
)


def read_type(message: Message, source: Source) -> np.dtype[Any] | StringType:
    """The type of the elements: numbers, opaque elements of two bytes (`V2`), or strings.

    Raises `KerasFileError` for every other type, such as references and compounds.
    """
    if message.is_shared:
        source.fail("types that are stored as separate objects are not supported")
    fields = Fields(message.data, source)
    class_number = fields.integer(1) & 15
    rest = bytes(fields.take(fields.remaining))
    kind = CLASSES[min(class_number, 11)]
    if kind in ("integer", "float"):
        dtype = NUMBERS.get(rest[: 11 if kind == "integer" else 19])
        if dtype is not None and dtype.kind in ("f" if kind == "float" else "iu"):
            return dtype
    size = int.from_bytes(rest[3:7], "little")
    if kind == "enumeration" and (rest.startswith(BOOL) or BOOL_V3.match(rest)):
        return np.dtype(bool)
    if kind == "opaque" and size == 2:
        return np.dtype("V2")
    if kind == "string" and size:
        return StringType(size, is_variable=False)
    if kind == "sequence" and size == 16 and rest[0] & 15 == 1:
        return StringType(16, is_variable=True)
    return source.fail(f"elements of HDF5's class {kind}, of {size} bytes, are not supported")


def read_shape(message: Message, source: Source) -> tuple[int, ...]:
    """The shape in a dataspace message. Raises `KerasFileError` for a null dataspace."""
    if message.is_shared:
        source.fail("shapes that are stored as separate objects are not supported")
    fields = Fields(message.data, source)
    version, rank, _ = fields.expect("version of a dataspace", 1, 2), fields.integer(1), fields.integer(1)
    if rank > MAX_AXES:
        source.fail(f"an array has {rank} axes; the limit is {MAX_AXES}")
    if version == 2 and fields.integer(1) > 1:
        source.fail("an array has a null dataspace: no elements and no shape")
    fields.take(5 if version == 1 else 0)
    return fields.integers(rank, 8)


def read_attribute(message: Message, source: Source) -> tuple[str, Fields, Message, Message]:
    """`(name, data, type, shape)` of an attribute."""
    fields = Fields(message.data, source)
    version, flags = fields.expect("version of an attribute", 1, 2, 3), fields.integer(1)
    sizes = fields.integers(3, 2)
    fields.take(1 if version == 3 else 0)
    # Version 1 pads each part to 8 bytes.
    padded = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
    name, dtype, shape = (fields.take(full)[:size] for full, size in zip(padded, sizes, strict=True))
    if message.is_shared or (version > 1 and flags):
        source.fail("attributes with parts that are stored as separate objects are not supported")
    decoded = bytes(name).partition(b"\0")[0].decode("utf-8", "replace")
    return decoded, fields, Message(0, 0, dtype), Message(0, 0, shape)


class AttributeReader:
    """Reads attributes of strings; each global heap is read once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def read(self, message: Message, what: str) -> list[bytes]:
        """The strings of an attribute. Raises `KerasFileError`, naming `what`, for other types."""
        source = self._source
        _, data, type_message, space = read_attribute(message, source)
        count = math.prod(read_shape(space, source))
        # NumPy turns an empty list of strings into an array of numbers.
        if not count:
            return []
        dtype = read_type(type_message, source)
        if not isinstance(dtype, StringType):
            source.fail(f"{what} must be text, got the type {dtype}")
        if count > MAX_ITEMS:
            source.fail(f"{what} has {count:,} strings; the limit is {MAX_ITEMS:,}")
        if dtype.is_variable:
            return [self._from_heap(data) for _ in range(count)]
        return [bytes(data.take(dtype.size)).partition(b"\0")[0] for _ in range(count)]

    def _from_heap(self, data: Fields) -> bytes:
        size, heap, index = data.integer(4), data.integer(8), data.integer(4)
        if not size:
            return b""
        if heap not in self._heaps:
            self._heaps[heap] = self._objects(heap)
        address, stored = self._heaps[heap].get(index, (0, 0))
        if size > stored:
            self._source.fail(f"a string declares {size:,} bytes and stores {stored:,}")
        return bytes(self._source.metadata(address, size))

    def _objects(self, heap: int) -> dict[int, tuple[int, int]]:
        """`(address, size)` of each object of a global heap, by index."""
        head = self._source.fields(heap, 16)
        head.signature(b"GCOL")
        head.expect("version of a global heap", 1)
        head.take(3)
        end = heap + head.integer(8)
        objects = {}
        at = heap + 16
        while at + 16 <= end:
            index, size = HEAP_OBJECT.unpack(self._source.metadata(at, HEAP_OBJECT.size))
            # Index 0 is the free space.
            if not index:
                break
            objects[index] = at + 16, size
            at += 16 + -(-size // 8) * 8
        return objects
