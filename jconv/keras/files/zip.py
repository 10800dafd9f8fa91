"""Members of a zip archive as bytes in memory: nothing is ever written where a name in the archive says."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from .errors import KerasFileError
from .limits import MEBIBYTE, MOST_PARTS, Budget, check_expansion

READ_AT_ONCE = MEBIBYTE
# Of a member, before it is known how much of it there is to read.
FIRST_BYTES = 64
LONGEST_NAME = 1024
# Of the list of members, which takes ten times its size in memory.
DIRECTORY_BYTES = 4 * MEBIBYTE
# What zipfile says of archives that are damaged.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,  # a compression or a version that it does not have
    RuntimeError,  # an encrypted member
    OverflowError,
    ValueError,
)


Extent = Callable[[bytes], int | None]


class _Bounded:
    """A file that is read in pieces: the list of members is asked for at once, as long as it says that it is."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._file, self._what = file, what

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY_BYTES:
            raise KerasFileError(
                f"{self._what} has a list of members of {size:,} bytes; more than {DIRECTORY_BYTES:,} are refused"
            )
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def opened(file: BinaryIO, what: str) -> zipfile.ZipFile:
    """The archive in an open file. Raises `KerasFileError`, naming `what`, where there is none."""
    try:
        return zipfile.ZipFile(cast(BinaryIO, _Bounded(file, what)))
    except KerasFileError:
        raise
    except DAMAGED as error:
        raise KerasFileError(f"{what} cannot be read as a zip archive: {error}") from None


def members(archive: zipfile.ZipFile, what: str) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name.

    Raises `KerasFileError` for a name that stands twice or leads out of the archive, for links, and for encryption.
    """
    infos = archive.infolist()
    if len(infos) > MOST_PARTS:
        raise KerasFileError(f"{what} has {len(infos):,} members; more than {MOST_PARTS:,} are no model")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        shown = ascii(name[:80])
        if not 0 < len(name) <= LONGEST_NAME:
            raise KerasFileError(f"{what} has a member with a name of {len(name):,} characters, {shown}")
        if name in found:
            raise KerasFileError(f"{what} has the member {shown} twice")
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise KerasFileError(f"{what} has the member {shown}, which leads out of the archive")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise KerasFileError(f"{what} has the member {shown}, which is a link or a device, not a file")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise KerasFileError(
                f"{what} has the member {shown}, which is encrypted or packed in a way Keras does not use"
            )
        found[name] = info
    return {name: info for name, info in found.items() if not info.is_dir()}


def read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str, budget: Budget, extent: Extent = lambda head: None
) -> bytes:
    """The bytes of a member, which must be as many as it declares.

    `extent` of its first bytes may say how many it is made of: then no more are read, and what follows is ignored.
    Raises `KerasFileError`, naming `what`, for one that declares more than the limits allow, or holds another number
    of bytes, or is damaged.
    """
    check_expansion(info.file_size, info.compress_size, what)
    pieces = io.BytesIO()
    try:
        with archive.open(info) as stream:
            pieces.write(stream.read(min(FIRST_BYTES, info.file_size)))
            said = extent(pieces.getvalue())
            size = info.file_size if said is None else min(said, info.file_size)
            budget.spend(size, what)
            while (left := size - pieces.tell()) > 0 and (piece := stream.read(min(READ_AT_ONCE, left))):
                pieces.write(piece)
            # The checksum is compared where a member ends.
            ends = not stream.read(1)
    except DAMAGED as error:
        raise KerasFileError(f"{what} is damaged: {error or type(error).__name__}") from None
    if left > 0 or ends != (size == info.file_size):
        raise KerasFileError(f"{what} declares {info.file_size:,} bytes and holds another number")
    return pieces.getvalue()[:size]
