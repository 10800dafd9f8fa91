"""The objects of a file: where the first one is, the messages that an object consists of, and a group's members."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from . import heaps
from .source import UNDEFINED, Fields, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Kinds of messages.
SPACE, LINK_INFO, TYPE, LINK, EXTERNAL, LAYOUT, FILTERS = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B
ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0C, 0x10, 0x11, 0x15

# A message's kind, size and flags, in the first version of objects; in the second, maybe with a number.
MESSAGE, NEWER_MESSAGE, ORDERED_MESSAGE = Struct("<HHB3x"), Struct("<BHB"), Struct("<BHB2x")
NEWER = b"OHDR"
# Of any version, with the size of the file in it.
HEAD_BYTES = 52

SOFT_ENTRY = 2
HARD, SOFT, OUTSIDE = 0, 1, 64
LONGEST_NAME = 1024


@dataclass(frozen=True)
class Message:
    """One piece of what an object is: its kind, flags and bytes."""

    kind: int
    flags: int
    data: memoryview

    @property
    def shared(self) -> bool:
        """Whether the bytes only say where in the file the message is."""
        return bool(self.flags & 2)


def extent(head: bytes) -> int | None:
    """How many bytes the file has that begins with `head`; None for a beginning that does not say."""
    version = head[8] if head.startswith(SIGNATURE) and len(head) >= HEAD_BYTES else None
    at = {0: 40, 1: 44, 2: 28, 3: 28}.get(-1 if version is None else version)
    return None if at is None else int.from_bytes(head[at : at + 8], "little")


def root(source: Source) -> int:
    """The address of the root group. Raises `KerasFileError` for a file that is not whole, or of a newer format."""
    head = source.fields(0, 9)
    if bytes(head.take(8)) != SIGNATURE:
        source.fail("it does not begin as one")
    version = head.expect("version of the file", 0, 1, 2, 3)
    newer = version >= 2
    head = source.fields(9, 39 if newer else 63 + 4 * version)
    head.take(0 if newer else 4)
    head.expect("size of addresses", 8)
    head.expect("size of lengths", 8)
    head.take(1 if newer else 9 + 4 * version)
    head.expect("address of the first block", 0, size=8)
    head.take(8)
    end = head.integer(8)
    if end > source.size:
        source.fail(f"it is cut off: it had {end:,} bytes and has {source.size:,}")
    if newer:
        return head.integer(8)
    head.expect("address of a driver", UNDEFINED, size=8)
    head.take(8)
    return head.integer(8)


def messages(source: Source, address: int) -> list[Message]:
    """The messages of the object at an address, from its first block and those that go on from it."""
    if bytes(source.read(address, 4)) == NEWER:
        return _newer_messages(source, address)
    head = source.fields(address, 16)
    head.expect("version of an object", 1)
    head.take(7)
    return _messages_in(source, (address + 16, head.integer(4)), MESSAGE)


def _newer_messages(source: Source, address: int) -> list[Message]:
    head = source.fields(address, 6)
    head.signature(NEWER)
    head.expect("version of an object", 2)
    flags = head.integer(1)
    # Times, and how many attributes it keeps in one place.
    more = 16 * bool(flags & 32) + 4 * bool(flags & 16)
    size = 1 << (flags & 3)
    head = source.fields(address + 6, more + size)
    head.take(more)
    first = address + 6 + more + size, head.integer(size)
    return _messages_in(source, first, ORDERED_MESSAGE if flags & 4 else NEWER_MESSAGE, newer=True)


def _messages_in(source: Source, first: tuple[int, int], form: Struct, newer: bool = False) -> list[Message]:
    found: list[Message] = []
    blocks = deque([first])
    while blocks:
        block = source.structure(*blocks.popleft())
        at = 0
        # Without `Fields`, since there may be millions.
        while at + form.size <= len(block):
            kind, size, flags = form.unpack_from(block, at)
            at += form.size
            data = block[at : at + size]
            at += size
            if at > len(block):
                source.fail("a message is longer than its block")
            if kind == CONTINUATION:
                where = Fields(data, source)
                start, length = where.integer(8), where.integer(8)
                if newer:
                    # Between a signature and a checksum.
                    source.fields(start, 4).signature(b"OCHK")
                    start, length = start + 4, max(length - 8, 0)
                blocks.append((start, length))
            elif kind:
                found.append(Message(kind, flags, data))
    return found


def attributes(source: Source, found: list[Message]) -> Iterator[Message]:
    """The attributes of an object, those that it keeps in a heap too."""
    for message in found:
        if message.kind == ATTRIBUTE:
            yield message
        elif message.kind == ATTRIBUTE_INFO:
            fields = Fields(message.data, source)
            fields.expect("version of an object's attributes", 0)
            fields.take(2 if fields.integer(1) & 1 else 0)
            heap, tree = fields.integers(2, 8)
            for data in heaps.objects(source, heap, tree, heaps.ATTRIBUTES):
                yield Message(ATTRIBUTE, 0, data)


def members(source: Source, found: list[Message]) -> Iterator[tuple[str, int]]:
    """`(name, address)` of what a group holds. Raises `KerasFileError` for links, which are not followed."""
    for message in found:
        fields = Fields(message.data, source)
        if message.kind == SYMBOL_TABLE:
            yield from _symbols(source, fields.integer(8), fields.integer(8))
        elif message.kind == LINK:
            yield _link(source, fields)
        elif message.kind == LINK_INFO:
            fields.expect("version of a group's links", 0)
            fields.take(8 if fields.integer(1) & 1 else 0)
            heap, tree = fields.integers(2, 8)
            for data in heaps.objects(source, heap, tree, heaps.LINKS):
                yield _link(source, Fields(data, source))


def _symbols(source: Source, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """The members in a tree of tables, the names in a heap: what every version of HDF5 writes unless told otherwise."""
    head = source.fields(heap, 32)
    head.signature(b"HEAP")
    head.expect("version of a heap", 0)
    head.take(3)
    size, _, names = head.integers(3, 8)
    waiting: list[tuple[int, int | None]] = [(tree, None)]
    while waiting:
        address, level = waiting.pop()
        children, above = tree_node(source, address, level, 0, 8)
        if above:
            waiting += [(child, above - 1) for _, child in children]
            continue
        for _, child in children:
            table = source.fields(child, 8)
            table.signature(b"SNOD")
            table.expect("version of a table", 1)
            table.take(1)
            entries = source.fields(child + 8, 40 * table.integer(2))
            while entries.left:
                offset, target = entries.integers(2, 8)
                linked = entries.integer(4) == SOFT_ENTRY
                entries.take(20)
                if offset >= size:
                    source.fail(f"a name stands at {offset:,} of a heap of {size:,} bytes")
                name = _name(source, names + offset, size - offset)
                _check_link(source, name, SOFT if linked else HARD)
                yield name, target


def tree_node(
    source: Source, address: int, level: int | None, kind: int, key_size: int
) -> tuple[list[tuple[memoryview, int]], int]:
    """`([(key, child), ...], level)` of a node of a tree; `level` is what it must be, None at the root."""
    head = source.fields(address, 24)
    head.signature(b"TREE")
    head.expect("kind of a tree", kind)
    found, used = head.integer(1), head.integer(2)
    if level is not None and found != level:
        source.fail(f"a tree has a node of level {found} where level {level} must be")
    body = source.fields(address + 24, used * (key_size + 8))
    return [(body.take(key_size), body.integer(8)) for _ in range(used)], found


def _name(source: Source, address: int, left: int) -> str:
    raw = bytes(source.read(address, min(left, LONGEST_NAME)))
    end = raw.find(b"\0")
    if end < 0:
        source.fail(f"a name has no end within {len(raw)} bytes")
    source.spend(end)
    return _decoded(source, raw[:end])


def _link(source: Source, fields: Fields) -> tuple[str, int]:
    """A member as a message of its own, as groups with links to other files have them."""
    fields.expect("version of a link", 1)
    flags = fields.integer(1)
    kind = fields.integer(1) if flags & 8 else HARD
    fields.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = _decoded(source, bytes(fields.take(fields.integer(1 << (flags & 3)))))
    _check_link(source, name, kind)
    return name, fields.integer(8)


def _check_link(source: Source, name: str, kind: int) -> None:
    if kind != HARD:
        named = {SOFT: "a soft link", OUTSIDE: "a link to another file"}.get(kind, "a link of the user's own")
        source.fail(f"{name!a} is {named}; links are not followed")


def _decoded(source: Source, raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        source.fail(f"the name {raw[:80]!r} is not text in UTF-8")
    if name in ("", ".", "..") or "/" in name:
        source.fail(f"{name!a} is no name")
    return name
