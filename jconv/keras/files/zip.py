"""Zip archives, read into memory: nothing is extracted to a path that the archive names."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from .errors import KerasFileError
from .limits import MAX_ITEMS, MAX_NAME, MEBIBYTE, Budget, check_compression

READ_BYTES = MEBIBYTE
# How much of a member is read to find out its size.
HEAD_BYTES = 64
# The directory of an archive needs about ten times its size in memory.
MAX_DIRECTORY_BYTES = 4 * MEBIBYTE
# The exceptions that zipfile raises for damaged archives.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,  # an encrypted member, an unknown compression or version
    OverflowError,
    ValueError,
)

# Given the first bytes of a file, its size if they contain it.
FindSize = Callable[[bytes], int | None]


class _BoundedFile:
    """A file whose reads are limited: zipfile reads the directory of an archive at once, whatever size it declares."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._file, self._what = file, what

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise KerasFileError(
                f"{self._what} has an archive directory of {size:,} bytes; the limit is {MAX_DIRECTORY_BYTES:,}"
            )
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def open_archive(file: BinaryIO, what: str) -> zipfile.ZipFile:
    """The archive in an open file. Raises `KerasFileError`, naming `what`, if it cannot be read."""
    try:
        return zipfile.ZipFile(cast(BinaryIO, _BoundedFile(file, what)))
    except KerasFileError:
        raise
    except DAMAGED as error:
        raise KerasFileError(f"{what} cannot be read as a zip archive: {error}") from None


def list_members(archive: zipfile.ZipFile, what: str) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name.

    Raises `KerasFileError` for duplicate names, names that lead out of the archive, links, and encrypted members.
    """
    infos = archive.infolist()
    if len(infos) > MAX_ITEMS:
        raise KerasFileError(f"{what} has {len(infos):,} members; the limit is {MAX_ITEMS:,}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        member = f"{what}, member {name[:80]!a}"
        if not 0 < len(name) <= MAX_NAME:
            raise KerasFileError(f"{member}: the name has {len(name):,} characters; it must have 1 to {MAX_NAME}")
        if name in members:
            raise KerasFileError(f"{member}: the name occurs twice")
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise KerasFileError(f"{member}: the name leads out of the archive")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise KerasFileError(f"{member}: is a link or a device, not a file")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise KerasFileError(f"{member}: is encrypted, or compressed by a method that Keras does not use")
        members[name] = info
    return {name: info for name, info in members.items() if not info.is_dir()}


def read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str, budget: Budget, find_size: FindSize = lambda head: None
) -> bytes:
    """The bytes of a member.

    If `find_size` of its first bytes gives a size, only that many bytes are read, and the rest is ignored. Raises
    `KerasFileError`, naming `what`, for a member that declares more than the limits allow, is damaged, or does not have
    the declared number of bytes.
    """
    check_compression(info.file_size, info.compress_size, what)
    data = io.BytesIO()
    try:
        with archive.open(info) as stream:
            data.write(stream.read(min(HEAD_BYTES, info.file_size)))
            own_size = find_size(data.getvalue())
            size = info.file_size if own_size is None else min(own_size, info.file_size)
            budget.spend(size, what)
            while (missing := size - data.tell()) > 0 and (block := stream.read(min(READ_BYTES, missing))):
                data.write(block)
            # zipfile compares the checksum when it reaches the end of a member.
            at_end = not stream.read(1)
    except DAMAGED as error:
        raise KerasFileError(f"{what} is damaged: {error or type(error).__name__}") from None
    if missing > 0 or at_end != (size == info.file_size):
        raise KerasFileError(f"{what} does not have the {info.file_size:,} bytes that it declares")
    return data.getvalue()[:size]
