"""Where newer files keep many links or attributes of one object: a tree (a v2 B-tree) of places in a fractal heap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from .source import UNDEFINED, Fields, Source

# The kinds of the trees' records, and where in a record the place in the heap stands.
LINKS, ATTRIBUTES = 5, 8
PLACE_AT = {LINKS: 4, ATTRIBUTES: 0}
MANAGED, TINY = 0, 2
# What a node of a tree has besides its records: the signature, version, kind and checksum.
NODE_BYTES = 10
DEEPEST = 16


def objects(source: Source, heap: int, tree: int, kind: int) -> Iterator[memoryview]:
    """The bytes of every object in a heap that a tree of a `kind` leads to.

    Raises `KerasFileError` for a heap or a tree that is damaged, and for objects that are stored elsewhere.
    """
    if heap == UNDEFINED or tree == UNDEFINED:
        return
    found = _heap(source, heap)
    for record in _records(source, tree, kind):
        yield found.object(record[PLACE_AT[kind] :])


def _records(source: Source, address: int, kind: int) -> Iterator[memoryview]:
    head = source.fields(address, 38)
    head.signature(b"BTHD")
    head.expect("version of a tree", 0)
    head.expect("kind of a tree", kind)
    node, size, depth = head.integer(4), head.integer(2), head.integer(2)
    head.take(2)
    root, count = head.integer(8), head.integer(2)
    if size < PLACE_AT[kind] + 3 or node < NODE_BYTES + size or depth > DEEPEST:
        source.fail(f"a tree has nodes of {node} bytes, records of {size} and {depth} levels")
    if root == UNDEFINED:
        return
    pointers = _pointers(node, size, depth)
    waiting = [(root, count, depth)]
    while waiting:
        address, count, level = waiting.pop()
        number, total = pointers[level]
        children = (count + 1) * (8 + number + total) if level else 0
        body = source.fields(address, NODE_BYTES - 4 + count * size + children)
        body.signature(b"BTIN" if level else b"BTLF")
        body.expect("version of a node", 0)
        body.expect("kind of a node", kind)
        yield from [body.take(size) for _ in range(count)]
        for _ in range(count + 1 if level else 0):
            waiting.append((body.integer(8), body.integer(number), level - 1))
            body.take(total)


def _pointers(node: int, size: int, depth: int) -> list[tuple[int, int]]:
    """Of each level, how many bytes its pointers have for the records of a child, and for those below it."""
    most = (node - NODE_BYTES) // size
    number, below, total = _bytes_for(most), most, 0
    found = [(0, 0)]
    for _ in range(depth):
        found.append((number, total))
        pointer = 8 + number + total
        most = max(0, node - NODE_BYTES - pointer) // (size + pointer)
        below = (most + 1) * below + most
        total = _bytes_for(below)
    return found


def _bytes_for(number: int) -> int:
    """How many bytes a number up to this one takes."""
    return (max(number, 1).bit_length() - 1) // 8 + 1


@dataclass
class _Heap:
    """A fractal heap: blocks whose sizes double, row by row; `(offset, size, address)` of each that holds objects."""

    source: Source
    width: int
    start: int
    rows: int
    offset_bytes: int
    length_bytes: int
    head_bytes: int
    blocks: list[tuple[int, int, int]]

    def object(self, place: memoryview) -> memoryview:
        """The bytes of the object at a place."""
        kind = place[0] >> 4 & 3
        if place[0] >> 6 or kind not in (MANAGED, TINY):
            self.source.fail("an object of a heap is stored elsewhere, which only objects of over 64 kB are")
        if kind == TINY:
            return place[1 : 2 + (place[0] & 15)]
        fields = Fields(place[1:], self.source)
        offset, length = fields.integer(self.offset_bytes), fields.integer(self.length_bytes)
        found = bisect_right(self.blocks, offset, key=lambda block: block[0]) - 1
        first, size, address = self.blocks[found] if found >= 0 else (0, 0, 0)
        if offset + length <= first + size:
            return self.source.structure(address + offset - first, length)
        return self.source.fail(f"an object of {length} bytes stands at {offset} of a heap, where no block is")


def _heap(source: Source, address: int) -> _Heap:
    head = source.fields(address, 142)
    head.signature(b"FRHP")
    head.expect("version of a heap", 0)
    head.take(2)
    head.expect("filters of a heap", 0, size=2)
    checked, managed = bool(head.integer(1) & 2), head.integer(4)
    head.take(12 * 8)
    width, start, largest, bits = head.integer(2), head.integer(8), head.integer(8), head.integer(2)
    head.take(2)
    root, rows = head.integer(8), head.integer(2)
    powers = all(n and not n & (n - 1) for n in (width, start, largest))
    if not powers or not start <= largest or not 0 < bits <= 64:
        source.fail(f"a heap has {width} blocks a row, of {start} to {largest} bytes, and {bits} bits")
    offset_bytes = -(-bits // 8)
    length_bytes = min(_bytes_for(largest), _bytes_for(managed))
    head_bytes = 13 + offset_bytes + 4 * checked
    direct_rows = (largest // start).bit_length() + 1
    found = _Heap(source, width, start, direct_rows, offset_bytes, length_bytes, head_bytes, [])
    if root != UNDEFINED:
        _find_blocks(found, root, rows)
        found.blocks.sort()
    return found


def _find_blocks(heap: _Heap, root: int, rows: int) -> None:
    """Find the blocks that hold objects: the root, or those that tables of addresses lead to."""
    source = heap.source
    waiting = [(root, 0, rows)]
    if not rows:
        waiting = []
        _add_block(heap, root, 0, heap.start)
    while waiting:
        address, offset, rows = waiting.pop()
        table = source.fields(address, 13 + heap.offset_bytes + 8 * rows * heap.width)
        table.signature(b"FHIB")
        table.expect("version of a heap's table", 0)
        table.take(8 + heap.offset_bytes)
        for row in range(rows):
            size = heap.start << max(row - 1, 0)
            for _ in range(heap.width):
                child = table.integer(8)
                if child != UNDEFINED and row < heap.rows:
                    _add_block(heap, child, offset, size)
                elif child != UNDEFINED:
                    waiting.append((child, offset, (size // (heap.start * heap.width)).bit_length()))
                offset += size


def _add_block(heap: _Heap, address: int, offset: int, size: int) -> None:
    block = heap.source.fields(address, heap.head_bytes)
    block.signature(b"FHDB")
    block.expect("version of a heap's block", 0)
    heap.blocks.append((offset, size, address))
