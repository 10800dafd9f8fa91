"""The chunk indices of version 4 layouts: a single chunk, consecutive chunks, or a fixed array of addresses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .source import UNDEFINED, Fields, Source

# `(offset in the array, stored bytes, mask of skipped filters, address)`.
Chunk = tuple[tuple[int, ...], int, int, int]

SINGLE, IMPLICIT, FIXED_ARRAY = 1, 2, 3
FILTERED_SINGLE_FLAG = 2


def indexed_chunks(
    source: Source,
    layout: Fields,
    flags: int,
    counts: Sequence[int],
    sizes: Sequence[int],
    chunk_bytes: int,
    is_filtered: bool,
    where: str,
) -> list[Chunk]:
    """The chunks in the index at the end of a `layout` message: along each axis, `counts` chunks of `sizes` elements.

    Raises `KerasFileError`, naming `where`, for a damaged index, and for the indices of extensible arrays.
    """
    count = math.prod(counts)
    kind = layout.integer(1)
    if kind == SINGLE:
        size, skipped = (layout.integer(8), layout.integer(4)) if flags & FILTERED_SINGLE_FLAG else (chunk_bytes, 0)
        entries = [(layout.integer(8), size, skipped)]
    elif kind == IMPLICIT:
        first = layout.integer(8)
        step = chunk_bytes if first != UNDEFINED else 0
        entries = [(first + number * step, chunk_bytes, 0) for number in range(count)]
    elif kind == FIXED_ARRAY:
        layout.take(1)
        entries = _fixed_array(source, layout.integer(8), count, chunk_bytes, is_filtered, where)
    else:
        source.fail(
            f"{where} is an extensible array (HDF5's chunk index {kind}), which Keras does not write; store it without "
            "maxshape"
        )
    chunks: list[Chunk] = []
    for number, (address, size, skipped) in enumerate(entries[:count]):
        if address != UNDEFINED:
            position = np.unravel_index(number, tuple(counts)) if counts else ()
            offset = tuple(int(at) * chunk for at, chunk in zip(position, sizes, strict=True))
            chunks.append((offset, size, skipped, address))
    return chunks


def _fixed_array(
    source: Source, address: int, count: int, chunk_bytes: int, is_filtered: bool, where: str
) -> list[tuple[int, int, int]]:
    """`(address, stored bytes, mask of skipped filters)` of each chunk."""
    if address == UNDEFINED:
        return []
    head = source.fields(address, 24)
    head.signature(b"FAHD")
    head.expect("version of a fixed array", 0)
    head.expect("kind of a fixed array", int(is_filtered))
    entry_bytes, page_bits, found, block = head.integer(1), head.integer(1), head.integer(8), head.integer(8)
    if found != count or not (12 < entry_bytes <= 20 if is_filtered else entry_bytes == 8):
        source.fail(
            f"{where} has an index of {found:,} chunks with {entry_bytes} bytes each; without maxshape it must have "
            f"{count:,}"
        )
    if block == UNDEFINED:
        return []
    body = source.fields(block, 14)
    body.signature(b"FADB")
    body.expect("version of a data block", 0)
    body.expect("kind of a data block", int(is_filtered))
    at = block + 14
    # A long array is divided into pages, each followed by a checksum; a bit mask says which were written.
    page_size = 1 << min(page_bits, 63)
    pages = -(-count // page_size) if count > page_size else 0
    written = bytes(source.metadata(at, -(-pages // 8)))
    at += len(written) + 4 if pages else 0
    entries: list[tuple[int, int, int]] = []
    for page in range(pages or 1):
        length = min(page_size, count - page * page_size) if pages else count
        fields = source.fields(at, length * entry_bytes)
        at += length * entry_bytes + (4 if pages else 0)
        is_written = not pages or written[page // 8] >> (7 - page % 8) & 1
        for _ in range(length):
            chunk = fields.integer(8)
            size = fields.integer(entry_bytes - 12) if is_filtered else chunk_bytes
            skipped = fields.integer(4) if is_filtered else 0
            entries.append((chunk if is_written else UNDEFINED, size, skipped))
    return entries
