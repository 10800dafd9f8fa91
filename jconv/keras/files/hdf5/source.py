"""The bytes of a file, a piece at a time, and the numbers in them."""

from __future__ import annotations

from typing import BinaryIO, NoReturn

from ..errors import KerasFileError
from ..limits import STRUCTURE_BYTES

# The address of what is not there.
UNDEFINED = 2**64 - 1


class Source:
    """`size` bytes, in memory or in an open file, read in pieces that lie inside.

    What describes the arrays is counted, and never more of it read in all than the file has bytes: an honest file has
    each byte in one place, while one that leads its reader round in circles, or makes many things of one, has not.
    """

    def __init__(self, data: bytes | BinaryIO, size: int, what: str) -> None:
        self._data = memoryview(data) if isinstance(data, bytes) else data
        self.size, self.what = size, what
        self._left = min(size, STRUCTURE_BYTES)

    def fail(self, reason: str) -> NoReturn:
        """Raise `KerasFileError` that names the file."""
        raise KerasFileError(f"{self.what}, read as HDF5: {reason}")

    def read(self, address: int, size: int) -> memoryview:
        """The bytes at an address. Raises `KerasFileError` where they are not in the file."""
        if address + size > self.size:
            self.fail(f"{size:,} bytes at {address:,} lie beyond its end at {self.size:,}")
        if isinstance(self._data, memoryview):
            return self._data[address : address + size]
        self._data.seek(address)
        found = self._data.read(size)
        if len(found) != size:
            self.fail("it was cut off while it was read")
        return memoryview(found)

    def structure(self, address: int, size: int) -> memoryview:
        """The bytes at an address, counted."""
        self.spend(size)
        return self.read(address, size)

    def fields(self, address: int, size: int) -> Fields:
        """The bytes at an address, counted, to be read one field after the other."""
        return Fields(self.structure(address, size), self)

    def spend(self, size: int) -> None:
        """Count bytes of structure. Raises `KerasFileError` where they are more than there can be."""
        self._left -= size
        if self._left < 0:
            self.fail("it leads round in a circle, or the same bytes are made much of")


class Fields:
    """Numbers and pieces that stand one after the other, the lowest byte of a number first."""

    def __init__(self, data: memoryview, source: Source) -> None:
        self._data, self.source = data, source
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        """The next bytes. Raises `KerasFileError` where there are fewer."""
        if size > self.left:
            self.source.fail(f"a field of {size:,} bytes stands where {self.left:,} are left")
        self._at += size
        return self._data[self._at - size : self._at]

    def integer(self, size: int) -> int:
        """The next number, of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def integers(self, count: int, size: int) -> tuple[int, ...]:
        """The next `count` numbers."""
        return tuple(self.integer(size) for _ in range(count))

    def expect(self, name: str, *allowed: int, size: int = 1) -> int:
        """The next number, which must be one of those `allowed`; raises `KerasFileError`, naming it, otherwise."""
        found = self.integer(size)
        if found not in allowed:
            wanted = " or ".join(str(value) for value in allowed)
            self.source.fail(f"{name} is {found}, where Keras's files have {wanted}")
        return found

    def signature(self, wanted: bytes) -> None:
        """Pass over the four letters that a block begins with; raises `KerasFileError` for others."""
        found = bytes(self.take(4))
        if found != wanted:
            self.source.fail(f"a block must begin with {wanted!r}, got {found!r}")
