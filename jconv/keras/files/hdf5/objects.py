"""Objects of a file: the address of the root group, the header messages of an object, and the members of a group."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from ..limits import MAX_ITEMS, MAX_NAME
from . import heaps
from .source import UNDEFINED, Fields, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Types of header messages.
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT, FILTERS = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B
ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0C, 0x10, 0x11, 0x15

# Type, size and flags of a message in version 1 of object headers, and in version 2 without and with creation order.
MESSAGE_V1, MESSAGE_V2, ORDERED_MESSAGE_V2 = Struct("<HHB3x"), Struct("<BHB"), Struct("<BHB2x")
HEADER_V2 = b"OHDR"
# The largest number of bytes, over all versions of the superblock, up to and including the size of the file.
SUPERBLOCK_BYTES = 52

HARD, SOFT, EXTERNAL = 0, 1, 64
LINKS = {SOFT: "a soft link", EXTERNAL: "a link to another file"}
# The cache type of a symbol table entry that is a soft link.
SOFT_LINK_CACHE = 2


@dataclass(frozen=True)
class Message:
    """A header message of an object: its type, flags and data."""

    kind: int
    flags: int
    data: memoryview

    @property
    def is_shared(self) -> bool:
        """Whether the data are only the address of the actual message."""
        return bool(self.flags & 2)


def file_size(head: bytes) -> int | None:
    """The size of the file that begins with `head`; None if `head` is too short or not HDF5."""
    version = head[8] if head.startswith(SIGNATURE) and len(head) >= SUPERBLOCK_BYTES else -1
    at = {0: 40, 1: 44, 2: 28, 3: 28}.get(version)
    return None if at is None else int.from_bytes(head[at : at + 8], "little")


def root(source: Source) -> int:
    """The address of the root group. Raises `KerasFileError` for a truncated file or an unknown superblock."""
    head = source.fields(0, 9)
    if bytes(head.take(8)) != SIGNATURE:
        source.fail("the signature is missing")
    version = head.expect("version of the superblock", 0, 1, 2, 3)
    is_v2 = version >= 2
    head = source.fields(9, 39 if is_v2 else 63 + 4 * version)
    head.take(0 if is_v2 else 4)
    head.expect("size of addresses", 8)
    head.expect("size of lengths", 8)
    head.take(1 if is_v2 else 9 + 4 * version)
    head.expect("base address", 0, size=8)
    head.take(8)
    end = head.integer(8)
    if end > source.size:
        source.fail(f"the file is truncated: it must have {end:,} bytes and has {source.size:,}")
    if is_v2:
        return head.integer(8)
    head.expect("address of the driver information", UNDEFINED, size=8)
    head.take(8)
    return head.integer(8)


def messages(source: Source, address: int) -> list[Message]:
    """The header messages of the object at an address, including its continuation blocks."""
    if bytes(source.read(address, 4)) == HEADER_V2:
        return _messages_v2(source, address)
    head = source.fields(address, 16)
    head.expect("version of an object header", 1)
    head.take(7)
    return _messages_in(source, (address + 16, head.integer(4)), MESSAGE_V1)


def _messages_v2(source: Source, address: int) -> list[Message]:
    head = source.fields(address, 6)
    head.signature(HEADER_V2)
    head.expect("version of an object header", 2)
    flags = head.integer(1)
    # Times, and the numbers of attributes at which their storage changes.
    skipped = 16 * bool(flags & 32) + 4 * bool(flags & 16)
    size = 1 << (flags & 3)
    head = source.fields(address + 6, skipped + size)
    head.take(skipped)
    first = address + 6 + skipped + size, head.integer(size)
    return _messages_in(source, first, ORDERED_MESSAGE_V2 if flags & 4 else MESSAGE_V2)


def _messages_in(source: Source, first: tuple[int, int], form: Struct) -> list[Message]:
    """The messages in the block `first`, given as `(address, size)`, and in the blocks that continue it."""
    found: list[Message] = []
    blocks = deque([first])
    while blocks:
        block = source.metadata(*blocks.popleft())
        at = 0
        # Not with `Fields`, which is slower: there may be millions of messages.
        while at + form.size <= len(block):
            kind, size, flags = form.unpack_from(block, at)
            at += form.size
            data = block[at : at + size]
            at += size
            if at > len(block):
                source.fail("a message is longer than its block")
            if kind == CONTINUATION:
                address, length = Fields(data, source).integers(2, 8)
                if form is not MESSAGE_V1:
                    # The messages lie between a signature and a checksum.
                    source.fields(address, 4).signature(b"OCHK")
                    address, length = address + 4, max(length - 8, 0)
                blocks.append((address, length))
            elif kind:
                found.append(Message(kind, flags, data))
                if len(found) > MAX_ITEMS:
                    source.fail(f"an object has more than {MAX_ITEMS:,} messages")
    return found


def attributes(source: Source, header: list[Message]) -> Iterator[Message]:
    """The attributes of an object, in its header and in a heap."""
    for message in header:
        if message.kind == ATTRIBUTE:
            yield message
        elif message.kind == ATTRIBUTE_INFO:
            for data in _dense(source, message, "attribute", 2, heaps.ATTRIBUTES):
                yield Message(ATTRIBUTE, 0, data)


def members(source: Source, header: list[Message]) -> Iterator[tuple[str, int]]:
    """`(name, address)` of each member of a group. Raises `KerasFileError` for soft and external links."""
    for message in header:
        fields = Fields(message.data, source)
        if message.kind == SYMBOL_TABLE:
            yield from _symbol_table(source, fields.integer(8), fields.integer(8))
        elif message.kind == LINK:
            yield _link(source, fields)
        elif message.kind == LINK_INFO:
            for data in _dense(source, message, "link", 8, heaps.LINKS):
                yield _link(source, Fields(data, source))


def _dense(source: Source, message: Message, what: str, order_bytes: int, kind: int) -> Iterator[memoryview]:
    """The objects in the heap of an information message; `order_bytes` are present if it keeps their creation order."""
    fields = Fields(message.data, source)
    fields.expect(f"version of the {what} information", 0)
    fields.take(order_bytes if fields.integer(1) & 1 else 0)
    heap, tree = fields.integers(2, 8)
    return heaps.objects(source, heap, tree, kind)


def _symbol_table(source: Source, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """The members in a B-tree of symbol tables, with their names in a local heap: HDF5's default form of a group."""
    head = source.fields(heap, 32)
    head.signature(b"HEAP")
    head.expect("version of a local heap", 0)
    head.take(3)
    size, _, names = head.integers(3, 8)
    for _, address in tree_leaves(source, tree, 0, 8):
        table = source.fields(address, 8)
        table.signature(b"SNOD")
        table.expect("version of a symbol table", 1)
        table.take(1)
        entries = source.fields(address + 8, 40 * table.integer(2))
        while entries.remaining:
            offset, target = entries.integers(2, 8)
            is_soft = entries.integer(4) == SOFT_LINK_CACHE
            entries.take(20)
            if offset >= size:
                source.fail(f"the offset {offset:,} of a name is beyond the {size:,} bytes of its heap")
            name = _name(source, names + offset, size - offset)
            _check_link(source, name, SOFT if is_soft else HARD)
            yield name, target


def tree_leaves(source: Source, root: int, kind: int, key_size: int) -> Iterator[tuple[memoryview, int]]:
    """`(key, address)` of each child of the leaves of a version 1 B-tree of the given kind."""
    nodes: list[tuple[int, int | None]] = [(root, None)]
    while nodes:
        address, expected = nodes.pop()
        head = source.fields(address, 24)
        head.signature(b"TREE")
        head.expect("kind of a B-tree", kind)
        level, count = head.integer(1), head.integer(2)
        if expected is not None and level != expected:
            source.fail(f"a B-tree has a node of level {level} where level {expected} must be")
        body = source.fields(address + 24, count * (key_size + 8))
        for _ in range(count):
            key, child = body.take(key_size), body.integer(8)
            if level:
                nodes.append((child, level - 1))
            else:
                yield key, child


def _name(source: Source, address: int, remaining: int) -> str:
    data = bytes(source.read(address, min(remaining, MAX_NAME)))
    end = data.find(b"\0")
    if end < 0:
        source.fail(f"a name does not end within {len(data)} bytes")
    source.count(end)
    return _decode_name(source, data[:end])


def _link(source: Source, fields: Fields) -> tuple[str, int]:
    """The member in a link message, which groups with external links or many members have."""
    fields.expect("version of a link", 1)
    flags = fields.integer(1)
    kind = fields.integer(1) if flags & 8 else HARD
    fields.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = _decode_name(source, bytes(fields.take(fields.integer(1 << (flags & 3)))))
    _check_link(source, name, kind)
    return name, fields.integer(8)


def _check_link(source: Source, name: str, kind: int) -> None:
    if kind != HARD:
        source.fail(f"{name!a} is {LINKS.get(kind, 'a user-defined link')}; links are not followed")


def _decode_name(source: Source, data: bytes) -> str:
    try:
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        source.fail(f"the name {data[:80]!r} is not UTF-8")
    if name in ("", ".", "..") or "/" in name:
        source.fail(f"{name!a} is not a valid name")
    return name
