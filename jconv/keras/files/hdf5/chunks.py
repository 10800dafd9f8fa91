"""Arrays that are stored in pieces, each of which may be packed.

The filters are undone here, by zlib and NumPy, and never give more than a piece has: HDF5 would unpack whatever comes.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from ..limits import MOST_PARTS, Budget, check_expansion
from ..raw import native
from .chunk_index import Piece, indexed_pieces
from .objects import Message, tree_node
from .source import UNDEFINED, Fields, Source

Array = np.ndarray[Any, Any]

DEFLATE, SHUFFLE, FLETCHER = 1, 2, 3
NAMES = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER: "fletcher32"}


def read_chunks(
    source: Source,
    layout: Fields,
    newer: bool,
    pipeline: Message | None,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    budget: Budget,
    where: str,
) -> Array:
    """The array whose pieces `layout` tells of, in its `newer` version or not, packed by the filters of `pipeline`.

    Raises `KerasFileError`, naming `where`, for pieces that are missing, damaged, or not what they declare.
    """
    options = layout.integer(1) if newer else 0
    if layout.integer(1) != len(shape) + 1:
        source.fail(f"{where} has pieces of another number of axes")
    tree = UNDEFINED if newer else layout.integer(8)
    *sizes, item = layout.integers(len(shape) + 1, layout.integer(1) if newer else 4)
    if item != dtype.itemsize or 0 in sizes:
        source.fail(f"{where} has pieces of {sizes} values of {item} bytes")
    filters = [] if pipeline is None else _filters(pipeline, source, where)
    counts = [-(-size // chunk) for size, chunk in zip(shape, sizes, strict=True)]
    wanted, piece = math.prod(counts), math.prod(sizes) * item
    if wanted > MOST_PARTS:
        source.fail(f"{where} is stored in more than {MOST_PARTS:,} pieces")
    if newer:
        found = indexed_pieces(source, layout, options, counts, sizes, piece, bool(filters), where)
    else:
        found = _pieces(source, tree, len(shape), where) if tree != UNDEFINED else []
    stored = sum(size for _, size, _, _ in found)
    declared = math.prod(shape) * item
    if len(found) != wanted or stored > source.size or (not filters and stored < declared):
        source.fail(f"{where} declares {declared:,} bytes in {wanted:,} pieces and stores {stored:,} in {len(found):,}")
    check_expansion(declared, stored, f"{where} of {source.what}")
    budget.spend(wanted * piece, f"{where} of {source.what}")
    try:
        array = np.empty(shape, dtype)
    except (ValueError, OverflowError):
        source.fail(f"{where} declares the shape {shape}, which no array has")
    places = set()
    for offset, size, skipped, address in found:
        if any(o % c or o >= s for o, c, s in zip(offset, sizes, shape, strict=True)) or offset in places:
            source.fail(f"{where} has a piece at {offset}, where none can be")
        places.add(offset)
        used = [f for i, f in enumerate(filters) if not skipped >> i & 1]
        data = _unpacked(source.read(address, size), used, piece, item)
        if data is None:
            source.fail(f"{where} has a damaged piece at {offset}")
        values = np.frombuffer(data, dtype).reshape(sizes)
        region = tuple(slice(o, o + c) for o, c in zip(offset, sizes, strict=True))
        array[region] = values[tuple(slice(0, s - o) for o, s in zip(offset, shape, strict=True))]
    return native(array)


def _pieces(source: Source, tree: int, rank: int, where: str) -> list[Piece]:
    found: list[Piece] = []
    waiting: list[tuple[int, int | None]] = [(tree, None)]
    while waiting:
        address, level = waiting.pop()
        children, above = tree_node(source, address, level, 1, 8 + 8 * (rank + 1))
        if above:
            waiting += [(child, above - 1) for _, child in children]
            continue
        for key, child in children:
            fields = Fields(key, source)
            size, skipped = fields.integers(2, 4)
            found.append((fields.integers(rank, 8), size, skipped, child))
        if len(found) > MOST_PARTS:
            source.fail(f"{where} is stored in more than {MOST_PARTS:,} pieces")
    return found


def _filters(message: Message, source: Source, where: str) -> list[int]:
    """The numbers of the filters, in the order in which they were applied."""
    fields = Fields(message.data, source)
    version, count = fields.expect("version of the filters", 1, 2), fields.integer(1)
    fields.take(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        number = fields.integer(2)
        name = fields.integer(2) if version == 1 or number >= 256 else 0
        fields.take(2)
        values = fields.integer(2)
        if number not in NAMES:
            source.fail(f"{where} is stored by filter {number}; only {', '.join(NAMES.values())} are undone")
        fields.take(-(-name // 8) * 8 if version == 1 else name)
        fields.take(4 * (values + (values % 2 if version == 1 else 0)))
        found.append(number)
    return found


def _unpacked(data: Any, filters: list[int], size: int, item: int) -> Any:
    """The `size` bytes of a piece; None where they are not what was packed."""
    for number in reversed(filters):
        if number == DEFLATE:
            # Four bytes more, since a checksum may have been packed with the rest.
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(data, size + 4)
            except zlib.error:
                return None
            if not unpacker.eof:
                return None
        elif number == SHUFFLE and item > 1:
            whole = len(data) - len(data) % item
            mixed = np.frombuffer(data, np.uint8, whole).reshape(item, -1)
            data = mixed.T.tobytes() + bytes(data[whole:])
        elif number == FLETCHER:
            data, checksum = data[:-4], bytes(data[-4:])
            if len(checksum) < 4 or not _is_fletcher(data, checksum):
                return None
    return data if len(data) == size else None


def _is_fletcher(data: Any, checksum: bytes) -> bool:
    words = np.frombuffer(bytes(data) + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % 65535
    sums = int(words.sum()) % 65535, int((words * weights % 65535).sum()) % 65535
    return sums == tuple(int.from_bytes(checksum[i : i + 2], "little") % 65535 for i in (0, 2))
