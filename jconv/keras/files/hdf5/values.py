"""What an object's messages say of its values: their type, their shape, and the texts of attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np

from ..limits import MOST_AXES, MOST_PARTS
from .objects import Message
from .source import Fields, Source

CLASSES = (
    *("integer", "float", "time", "string", "bitfield", "opaque"),
    *("compound", "reference", "enumeration", "sequence", "array", "another"),
)


# An object's number in a heap, and its size.
HELD = Struct("<H6xQ")


@dataclass(frozen=True)
class Text:
    """The type of strings: of `size` bytes each, or where `far`, in heaps, of any."""

    size: int
    far: bool


def _numbers() -> Iterator[tuple[bytes, str]]:
    """What HDF5 writes for the types that Keras has, without the first byte, and NumPy's name for each."""
    for order, letter in ((0, "<"), (1, ">")):
        for size in (1, 2, 4, 8):
            for bits, kind in ((0, "u"), (8, "i")):
                yield bytes([order | bits, 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0]), f"{letter}{kind}{size}"
        for size, exponent in ((2, 5), (4, 8), (8, 11)):
            sign, mantissa = 8 * size - 1, 8 * size - 1 - exponent
            parts = (order | 0x20, sign, 0, size, 0, 0, 0, 0, 0, 8 * size, 0, mantissa, exponent, 0, mantissa)
            yield bytes(parts) + (2 ** (exponent - 1) - 1).to_bytes(4, "little"), f"{letter}f{size}"


NUMBERS = {encoded: np.dtype(name) for encoded, name in _numbers()}
# h5py's enumeration of FALSE and TRUE.
BOOL = bytes.fromhex("02000001000000 1008000001000000 00000800 46414c5345000000 5452554500000000 0001")
# The same where names are not filled up, and with the version of the type of its numbers.
NEWER_BOOL = re.compile(
    bytes.fromhex("02000001000000") + b"." + bytes.fromhex("08000001000000 00000800") + b"FALSE\0TRUE\0\0\1", re.DOTALL
)


def type_of(message: Message, source: Source) -> np.dtype[Any] | Text:
    """The type of the values: of numbers, of two bytes of no kind (`V2`), or of text.

    Raises `KerasFileError` for every other, among them references and objects.
    """
    if message.shared:
        source.fail("a type that stands elsewhere in the file is not read")
    fields = Fields(message.data, source)
    first = fields.integer(1)
    rest = bytes(fields.take(fields.left))
    kind = CLASSES[min(first & 15, 11)]
    if kind in ("integer", "float"):
        found = NUMBERS.get(rest[: 11 if kind == "integer" else 19])
        if found is not None and found.kind in ("f" if kind == "float" else "iu"):
            return found
    size = int.from_bytes(rest[3:7], "little")
    if kind == "enumeration" and (rest.startswith(BOOL) or NEWER_BOOL.match(rest)):
        return np.dtype(bool)
    if kind == "opaque" and size == 2:
        return np.dtype("V2")
    if kind == "string" and size:
        return Text(size, far=False)
    if kind == "sequence" and size == 16 and rest[0] & 15 == 1:
        return Text(16, far=True)
    return source.fail(f"the values are of a type that Keras does not store (HDF5's class {kind}, of {size} bytes)")


def shape_of(message: Message, source: Source) -> tuple[int, ...]:
    """The sizes of the axes. Raises `KerasFileError` for values without a shape."""
    if message.shared:
        source.fail("a shape that stands elsewhere in the file is not read")
    fields = Fields(message.data, source)
    version, rank, _ = fields.expect("version of a shape", 1, 2), fields.integer(1), fields.integer(1)
    if rank > MOST_AXES:
        source.fail(f"an array has {rank} axes")
    if version == 2 and fields.integer(1) > 1:
        source.fail("an array is declared to have no values and no shape")
    fields.take(5 if version == 1 else 0)
    return fields.integers(rank, 8)


def attribute(message: Message, source: Source) -> tuple[str, Fields, Message, Message]:
    """`(name, values, type, shape)` of an attribute."""
    fields = Fields(message.data, source)
    version, flags = fields.expect("version of an attribute", 1, 2, 3), fields.integer(1)
    sizes = fields.integers(3, 2)
    fields.take(1 if version == 3 else 0)
    # The first version fills up with zeros.
    padded = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
    name, of, shape = (fields.take(full)[:size] for full, size in zip(padded, sizes, strict=True))
    if message.shared or (version > 1 and flags):
        source.fail("an attribute of which parts stand elsewhere in the file is not read")
    decoded = bytes(name).partition(b"\0")[0].decode("utf-8", "replace")
    return decoded, fields, Message(0, 0, of), Message(0, 0, shape)


class Texts:
    """The texts of attributes, those in heaps among them; each heap is gone through once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def read(self, message: Message, what: str) -> list[bytes]:
        """The strings of an attribute. Raises `KerasFileError`, naming `what`, for one of anything else."""
        source = self._source
        _, values, of, space = attribute(message, source)
        count = math.prod(shape_of(space, source))
        # An empty list of strings has no type of its own: NumPy makes numbers of it.
        if not count:
            return []
        found = type_of(of, source)
        if not isinstance(found, Text):
            source.fail(f"{what} must be text, got the type {found}")
        if count > MOST_PARTS:
            source.fail(f"{what} has {count:,} texts; more than {MOST_PARTS:,} are refused")
        if found.far:
            return [self._far(values) for _ in range(count)]
        return [bytes(values.take(found.size)).partition(b"\0")[0] for _ in range(count)]

    def _far(self, values: Fields) -> bytes:
        size, heap, index = values.integer(4), values.integer(8), values.integer(4)
        if not size:
            return b""
        if heap not in self._heaps:
            self._heaps[heap] = self._objects(heap)
        address, held = self._heaps[heap].get(index, (0, 0))
        if size > held:
            self._source.fail(f"a text of {size:,} bytes is said to stand where {held:,} are")
        self._source.spend(size)
        return bytes(self._source.read(address, size))

    def _objects(self, heap: int) -> dict[int, tuple[int, int]]:
        """`(address, size)` of each object of a heap."""
        head = self._source.fields(heap, 16)
        head.signature(b"GCOL")
        head.expect("version of a heap", 1)
        head.take(3)
        end = heap + head.integer(8)
        found = {}
        at = heap + 16
        while at + 16 <= end:
            index, size = HELD.unpack(self._source.structure(at, HELD.size))
            # What is numbered 0 is the room that is left.
            if not index:
                break
            found[index] = at + 16, size
            at += 16 + -(-size // 8) * 8
        return found
