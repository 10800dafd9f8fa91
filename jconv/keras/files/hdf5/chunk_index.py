"""Where the pieces of an array lie in newer files: one piece, pieces in a row, or a table of addresses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .source import UNDEFINED, Fields, Source

# `(offset, size, filters skipped, address)`.
Piece = tuple[tuple[int, ...], int, int, int]

SINGLE, IN_A_ROW, TABLE = 1, 2, 3
PACKED_SINGLE = 2


def indexed_pieces(
    source: Source,
    layout: Fields,
    options: int,
    counts: Sequence[int],
    sizes: Sequence[int],
    piece: int,
    packed: bool,
    where: str,
) -> list[Piece]:
    """The pieces that the rest of `layout` tells of: `counts` of `sizes` values and `piece` bytes along the axes.

    Raises `KerasFileError`, naming `where`, for an index that is damaged, or that only arrays have that may grow.
    """
    wanted = math.prod(counts)
    kind = layout.integer(1)
    if kind == SINGLE:
        size, skipped = (layout.integer(8), layout.integer(4)) if options & PACKED_SINGLE else (piece, 0)
        entries = [(layout.integer(8), size, skipped)]
    elif kind == IN_A_ROW:
        first = layout.integer(8)
        entries = [(first + number * piece if first != UNDEFINED else first, piece, 0) for number in range(wanted)]
    elif kind == TABLE:
        layout.take(1)
        entries = _table(source, layout.integer(8), wanted, piece, packed, where)
    else:
        source.fail(f"{where} is stored so that it can grow, which no array of Keras is (HDF5's chunk index {kind})")
    found: list[Piece] = []
    for number, (address, size, skipped) in enumerate(entries[:wanted]):
        if address != UNDEFINED:
            found.append((_offset(number, counts, sizes), size, skipped, address))
    return found


def _offset(number: int, counts: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    offset = []
    for count, size in zip(reversed(counts), reversed(sizes), strict=True):
        offset.append(number % count * size)
        number //= count
    return tuple(reversed(offset))


def _table(
    source: Source, address: int, wanted: int, piece: int, packed: bool, where: str
) -> list[tuple[int, int, int]]:
    """`(address, size, filters skipped)` of each piece of a fixed array."""
    if address == UNDEFINED:
        return []
    head = source.fields(address, 24)
    head.signature(b"FAHD")
    head.expect("version of a table", 0)
    head.expect("kind of a table", int(packed))
    entry, bits, count, block = head.integer(1), head.integer(1), head.integer(8), head.integer(8)
    if count != wanted or not (12 < entry <= 20 if packed else entry == 8):
        source.fail(f"{where} has a table of {count:,} pieces, {entry} bytes each, where {wanted:,} are")
    if block == UNDEFINED:
        return []
    body = source.fields(block, 14)
    body.signature(b"FADB")
    body.expect("version of a table's block", 0)
    body.expect("kind of a table's block", int(packed))
    at = block + 14
    # A long table is in pages, each with a checksum; which of them are there, bits say.
    page = 1 << min(bits, 63)
    pages = -(-count // page) if count > page else 0
    present = bytes(source.structure(at, -(-pages // 8)))
    at += len(present) + 4 if pages else 0
    found: list[tuple[int, int, int]] = []
    for number in range(pages or 1):
        entries = min(page, count - number * page) if pages else count
        fields = source.fields(at, entries * entry)
        at += entries * entry + (4 if pages else 0)
        there = not pages or present[number // 8] >> (7 - number % 8) & 1
        for _ in range(entries):
            where_it_is = fields.integer(8)
            size = fields.integer(entry - 12) if packed else piece
            skipped = fields.integer(4) if packed else 0
            found.append((where_it_is if there else UNDEFINED, size, skipped))
    return found
