"""Dense storage of many links or attributes: a version 2 B-tree of locations in a fractal heap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from .source import UNDEFINED, Fields, Source

# Record types of the B-trees, and the position of the heap ID in a record.
LINKS, ATTRIBUTES = 5, 8
HEAP_ID_AT = {LINKS: 4, ATTRIBUTES: 0}
# Kinds of objects in a heap: in a block, or in the heap ID itself.
MANAGED, TINY = 0, 2
# The bytes of a B-tree's node besides its records: the signature, version, type and checksum.
NODE_BYTES = 10
MAX_DEPTH = 16


def objects(source: Source, heap: int, tree: int, kind: int) -> Iterator[memoryview]:
    """The bytes of each object in a heap that a B-tree with records of a `kind` refers to.

    Raises `KerasFileError` for a damaged heap or B-tree, and for objects that are stored outside the heap.
    """
    if heap == UNDEFINED or tree == UNDEFINED:
        return
    opened = _open_heap(source, heap)
    for record in _records(source, tree, kind):
        yield opened.object(record[HEAP_ID_AT[kind] :])


def _records(source: Source, address: int, kind: int) -> Iterator[memoryview]:
    head = source.fields(address, 38)
    head.signature(b"BTHD")
    head.expect("version of a B-tree", 0)
    head.expect("type of a B-tree", kind)
    node_size, record_size, depth = head.integer(4), head.integer(2), head.integer(2)
    head.take(2)
    root, count = head.integer(8), head.integer(2)
    if record_size < HEAP_ID_AT[kind] + 3 or node_size < NODE_BYTES + record_size or depth > MAX_DEPTH:
        source.fail(f"a B-tree has nodes of {node_size} bytes, records of {record_size} bytes and {depth} levels")
    if root == UNDEFINED:
        return
    sizes = _count_sizes(node_size, record_size, depth)
    nodes = [(root, count, depth)]
    while nodes:
        address, count, level = nodes.pop()
        own_size, total_size = sizes[level]
        pointers = (count + 1) * (8 + own_size + total_size) if level else 0
        body = source.fields(address, NODE_BYTES - 4 + count * record_size + pointers)
        body.signature(b"BTIN" if level else b"BTLF")
        body.expect("version of a node", 0)
        body.expect("type of a node", kind)
        yield from [body.take(record_size) for _ in range(count)]
        for _ in range(count + 1 if level else 0):
            nodes.append((body.integer(8), body.integer(own_size), level - 1))
            body.take(total_size)


def _count_sizes(node_size: int, record_size: int, depth: int) -> list[tuple[int, int]]:
    """For each level, the bytes of the two counts in a pointer: the child's records, and all records below."""
    max_records = (node_size - NODE_BYTES) // record_size
    own_size, below, total_size = _bytes_for(max_records), max_records, 0
    sizes = [(0, 0)]
    for _ in range(depth):
        sizes.append((own_size, total_size))
        pointer = 8 + own_size + total_size
        max_records = max(0, node_size - NODE_BYTES - pointer) // (record_size + pointer)
        below = (max_records + 1) * below + max_records
        total_size = _bytes_for(below)
    return sizes


def _bytes_for(limit: int) -> int:
    """The number of bytes of an integer up to `limit`."""
    return (max(limit, 1).bit_length() - 1) // 8 + 1


@dataclass
class _Heap:
    """A fractal heap: rows of `width` blocks, whose sizes double from row to row beginning with `start_size`.

    The first `direct_rows` rows contain objects, the others contain tables of blocks. `blocks` has the `(offset, size,
    address)` of each block with objects.
    """

    source: Source
    width: int
    start_size: int
    direct_rows: int
    offset_bytes: int
    length_bytes: int
    head_bytes: int
    blocks: list[tuple[int, int, int]]

    def object(self, heap_id: memoryview) -> memoryview:
        """The bytes of an object."""
        kind = heap_id[0] >> 4 & 3
        if heap_id[0] >> 6 or kind not in (MANAGED, TINY):
            self.source.fail("an object is stored outside its heap, which HDF5 does only for more than 64 kB")
        if kind == TINY:
            return heap_id[1 : 2 + (heap_id[0] & 15)]
        fields = Fields(heap_id[1:], self.source)
        offset, length = fields.integer(self.offset_bytes), fields.integer(self.length_bytes)
        index = bisect_right(self.blocks, offset, key=lambda block: block[0]) - 1
        first, size, address = self.blocks[index] if index >= 0 else (0, 0, 0)
        if offset + length > first + size:
            self.source.fail(f"no block of a heap contains the object of {length} bytes at offset {offset}")
        return self.source.metadata(address + offset - first, length)


def _open_heap(source: Source, address: int) -> _Heap:
    head = source.fields(address, 142)
    head.signature(b"FRHP")
    head.expect("version of a heap", 0)
    head.take(2)
    head.expect("filters of a heap", 0, size=2)
    has_checksums, max_managed = bool(head.integer(1) & 2), head.integer(4)
    head.take(12 * 8)
    width, start_size, max_size, bits = head.integer(2), head.integer(8), head.integer(8), head.integer(2)
    head.take(2)
    root, rows = head.integer(8), head.integer(2)
    are_powers = all(n and not n & (n - 1) for n in (width, start_size, max_size))
    # Sizes double from row to row, so more rows than bits would be beyond every offset.
    if not are_powers or not start_size <= max_size or not 0 < bits <= 64 or rows > bits + 1:
        source.fail(
            f"a heap has {rows} rows of {width} blocks, of {start_size} to {max_size} bytes, and offsets of {bits} bits"
        )
    offset_bytes = -(-bits // 8)
    length_bytes = min(_bytes_for(max_size), _bytes_for(max_managed))
    head_bytes = 13 + offset_bytes + 4 * has_checksums
    direct_rows = (max_size // start_size).bit_length() + 1
    heap = _Heap(source, width, start_size, direct_rows, offset_bytes, length_bytes, head_bytes, [])
    if root != UNDEFINED:
        _find_blocks(heap, root, rows)
        heap.blocks.sort()
    return heap


def _find_blocks(heap: _Heap, root: int, rows: int) -> None:
    """Find the blocks with objects: the root if it has no `rows`, else those in its table and the tables below."""
    if not rows:
        _add_block(heap, root, 0, heap.start_size)
        return
    tables = [(root, 0, rows)]
    while tables:
        address, offset, rows = tables.pop()
        table = heap.source.fields(address, 13 + heap.offset_bytes + 8 * rows * heap.width)
        table.signature(b"FHIB")
        table.expect("version of a heap's table", 0)
        table.take(8 + heap.offset_bytes)
        for row in range(rows):
            size = heap.start_size << max(row - 1, 0)
            for _ in range(heap.width):
                child = table.integer(8)
                if child != UNDEFINED and row < heap.direct_rows:
                    _add_block(heap, child, offset, size)
                elif child != UNDEFINED:
                    tables.append((child, offset, (size // (heap.start_size * heap.width)).bit_length()))
                offset += size


def _add_block(heap: _Heap, address: int, offset: int, size: int) -> None:
    block = heap.source.fields(address, heap.head_bytes)
    block.signature(b"FHDB")
    block.expect("version of a heap's block", 0)
    heap.blocks.append((offset, size, address))
