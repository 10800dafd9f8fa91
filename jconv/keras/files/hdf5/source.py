"""Bounded reads from a file, and the integers in what was read."""

from __future__ import annotations

from typing import BinaryIO, NoReturn

from ..errors import KerasFileError
from ..limits import MAX_METADATA_BYTES

# The address of something that does not exist.
UNDEFINED = 2**64 - 1


class Source:
    """The `size` bytes of a file, in memory or open.

    Reads of metadata are counted, and may not exceed the size of the file. A valid file has each byte in one place,
    so only cyclic or overlapping metadata exceed it.
    """

    def __init__(self, data: bytes | BinaryIO, size: int, what: str) -> None:
        self._data = memoryview(data) if isinstance(data, bytes) else data
        self.size, self.what = size, what
        self._remaining = min(size, MAX_METADATA_BYTES)

    def fail(self, reason: str) -> NoReturn:
        """Raise `KerasFileError` with the name of the file."""
        raise KerasFileError(f"{self.what}, read as HDF5: {reason}")

    def read(self, address: int, size: int) -> memoryview:
        """The bytes at an address. Raises `KerasFileError` if they are not in the file."""
        if address + size > self.size:
            self.fail(f"{size:,} bytes at {address:,} are beyond the end of the file at {self.size:,}")
        if isinstance(self._data, memoryview):
            return self._data[address : address + size]
        self._data.seek(address)
        data = self._data.read(size)
        if len(data) != size:
            self.fail("the file was truncated while it was read")
        return memoryview(data)

    def metadata(self, address: int, size: int) -> memoryview:
        """The bytes of metadata at an address, counted."""
        self.count(size)
        return self.read(address, size)

    def fields(self, address: int, size: int) -> Fields:
        """The bytes of metadata at an address, counted, as fields."""
        return Fields(self.metadata(address, size), self)

    def count(self, size: int) -> None:
        """Count bytes of metadata. Raises `KerasFileError` if there are more than the file can contain."""
        self._remaining -= size
        if self._remaining < 0:
            self.fail("the metadata are cyclic or overlap: more bytes were read than the file contains")


class Fields:
    """Consecutive fields; integers are little-endian."""

    def __init__(self, data: memoryview, source: Source) -> None:
        self._data, self.source = data, source
        self._at = 0

    @property
    def remaining(self) -> int:
        """The number of bytes after the last field read."""
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        """The next bytes. Raises `KerasFileError` if there are fewer."""
        if size > self.remaining:
            self.source.fail(f"a field of {size:,} bytes is declared where {self.remaining:,} bytes remain")
        self._at += size
        return self._data[self._at - size : self._at]

    def integer(self, size: int) -> int:
        """The next integer, of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def integers(self, count: int, size: int) -> tuple[int, ...]:
        """The next `count` integers."""
        return tuple(self.integer(size) for _ in range(count))

    def expect(self, name: str, *allowed: int, size: int = 1) -> int:
        """The next integer. Raises `KerasFileError`, with the `name`, unless it is one of those `allowed`."""
        value = self.integer(size)
        if value not in allowed:
            self.source.fail(f"{name} is {value}; Keras's files have {' or '.join(map(str, allowed))}")
        return value

    def signature(self, expected: bytes) -> None:
        """Skip the four bytes with which a block begins. Raises `KerasFileError` for others."""
        found = bytes(self.take(4))
        if found != expected:
            self.source.fail(f"a block must begin with {expected!r}, got {found!r}")
