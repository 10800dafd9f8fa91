"""Arrays stored in chunks, possibly compressed.

The filters are undone here with zlib and NumPy, because HDF5 decompresses a chunk to any size.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from ..limits import MAX_ITEMS, Budget, check_compression
from ..raw import to_native
from .chunk_index import Chunk, indexed_chunks
from .objects import Message, tree_leaves
from .source import UNDEFINED, Fields, Source

Array = np.ndarray[Any, Any]

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
FILTER_NAMES = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32"}


def read_chunks(
    source: Source,
    layout: Fields,
    is_v4: bool,
    pipeline: Message | None,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    budget: Budget,
    where: str,
) -> Array:
    """The array whose chunks are described by a `layout` message, in its version 4 or 3, and a filter `pipeline`.

    Raises `KerasFileError`, naming `where`, for chunks that are missing, damaged or of other sizes than declared.
    """
    flags = layout.integer(1) if is_v4 else 0
    if layout.integer(1) != len(shape) + 1:
        source.fail(f"{where} has chunks with another number of axes than the array")
    tree = UNDEFINED if is_v4 else layout.integer(8)
    *sizes, item = layout.integers(len(shape) + 1, layout.integer(1) if is_v4 else 4)
    if item != dtype.itemsize or 0 in sizes:
        source.fail(f"{where} has chunks of shape {sizes} with {item} bytes per element")
    filters = [] if pipeline is None else _filters(pipeline, source, where)
    counts = [-(-size // chunk) for size, chunk in zip(shape, sizes, strict=True)]
    count, chunk_bytes = math.prod(counts), math.prod(sizes) * item
    if count > MAX_ITEMS:
        source.fail(f"{where} has more than {MAX_ITEMS:,} chunks")
    if is_v4:
        chunks = indexed_chunks(source, layout, flags, counts, sizes, chunk_bytes, bool(filters), where)
    else:
        chunks = _chunks_in_tree(source, tree, len(shape), where) if tree != UNDEFINED else []
    stored = sum(size for _, size, _, _ in chunks)
    declared = math.prod(shape) * item
    if len(chunks) != count or stored > source.size or (not filters and stored < declared):
        source.fail(
            f"{where} declares {declared:,} bytes in {count:,} chunks but stores {stored:,} bytes in {len(chunks):,}"
        )
    check_compression(declared, stored, f"{where} of {source.what}")
    budget.spend(count * chunk_bytes, f"{where} of {source.what}")
    try:
        array = np.empty(shape, dtype)
    except (ValueError, OverflowError):
        source.fail(f"{where} declares the shape {shape}, which NumPy does not support")
    offsets = set()
    for offset, size, skipped, address in chunks:
        if any(o % c or o >= s for o, c, s in zip(offset, sizes, shape, strict=True)) or offset in offsets:
            source.fail(f"{where} has a chunk at the impossible offset {offset}")
        offsets.add(offset)
        applied = [number for i, number in enumerate(filters) if not skipped >> i & 1]
        data = _undo_filters(source.read(address, size), applied, chunk_bytes, item)
        if data is None:
            source.fail(f"{where} has a damaged chunk at {offset}")
        values = np.frombuffer(data, dtype).reshape(sizes)
        region = tuple(slice(o, o + c) for o, c in zip(offset, sizes, strict=True))
        array[region] = values[tuple(slice(0, s - o) for o, s in zip(offset, shape, strict=True))]
    return to_native(array)


def _chunks_in_tree(source: Source, tree: int, rank: int, where: str) -> list[Chunk]:
    chunks: list[Chunk] = []
    for key, address in tree_leaves(source, tree, 1, 8 + 8 * (rank + 1)):
        fields = Fields(key, source)
        size, skipped = fields.integers(2, 4)
        chunks.append((fields.integers(rank, 8), size, skipped, address))
        if len(chunks) > MAX_ITEMS:
            source.fail(f"{where} has more than {MAX_ITEMS:,} chunks")
    return chunks


def _filters(pipeline: Message, source: Source, where: str) -> list[int]:
    """The filters of a pipeline, in the order in which they were applied."""
    fields = Fields(pipeline.data, source)
    version, count = fields.expect("version of the filter pipeline", 1, 2), fields.integer(1)
    fields.take(6 if version == 1 else 0)
    filters = []
    for _ in range(count):
        number = fields.integer(2)
        name_size = fields.integer(2) if version == 1 or number >= 256 else 0
        fields.take(2)
        values = fields.integer(2)
        if number not in FILTER_NAMES:
            names = ", ".join(FILTER_NAMES.values())
            source.fail(f"{where} is stored with HDF5's filter {number}; supported are {names}")
        fields.take(-(-name_size // 8) * 8 if version == 1 else name_size)
        fields.take(4 * (values + (values % 2 if version == 1 else 0)))
        filters.append(number)
    return filters


def _undo_filters(data: Any, filters: list[int], size: int, item: int) -> Any:
    """The `size` bytes of a chunk with items of `item` bytes; None if it is damaged."""
    for number in reversed(filters):
        if number == DEFLATE:
            # Four bytes more: a checksum may have been compressed too.
            decompressor = zlib.decompressobj()
            try:
                data = decompressor.decompress(data, size + 4)
            except zlib.error:
                return None
            if not decompressor.eof:
                return None
        elif number == SHUFFLE and item > 1:
            end = len(data) - len(data) % item
            data = np.frombuffer(data, np.uint8, end).reshape(item, -1).T.tobytes() + bytes(data[end:])
        elif number == FLETCHER32:
            data, checksum = data[:-4], bytes(data[-4:])
            if len(checksum) < 4 or not _has_checksum(data, checksum):
                return None
    return data if len(data) == size else None


def _has_checksum(data: Any, checksum: bytes) -> bool:
    """Whether this is the Fletcher-32 checksum of the data."""
    words = np.frombuffer(bytes(data) + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % 65535
    sums = int(words.sum()) % 65535, int((words * weights % 65535).sum()) % 65535
    return sums == tuple(int.from_bytes(checksum[i : i + 2], "little") % 65535 for i in (0, 2))
