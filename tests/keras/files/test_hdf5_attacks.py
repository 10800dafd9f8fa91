"""Malicious HDF5 files: references to other files, wrong sizes, cycles, and types other than numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from jconv.keras.files import hdf5
from jconv.keras.files.limits import Budget
from tests.support.keras_crafted import new_hdf5, patched
from tests.support.keras_watch import peak, refused

MIB = 2**20


def open_arrays(data: bytes, limit: int = 64 * MIB) -> hdf5.Hdf5Arrays:
    return hdf5.open_arrays(data, "x.h5", Budget(limit))


def links(file: h5py.File) -> None:
    file["real"] = np.ones(3)
    file["link"] = h5py.SoftLink("/real")


def outside(file: h5py.File) -> None:
    file["link"] = h5py.ExternalLink("/etc/passwd", "/")


def stored_outside(file: h5py.File) -> None:
    file.create_dataset("a", (100,), "u1", external=[("/etc/passwd", 0, 100)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "a", (3,))
    file.create_virtual_dataset("a", layout)


def cycle(file: h5py.File) -> None:
    file["a"] = file.create_group("b/c")
    file["b/c/d"] = file["b"]


def type_elsewhere(file: h5py.File) -> None:
    file["type"] = np.dtype("f4")
    file.create_dataset("a", (3,), file["type"])


def deep(file: h5py.File) -> None:
    file.create_group("/".join("a" * 70))


def references(file: h5py.File) -> None:
    file.create_dataset("a", data=np.array([file.ref], h5py.ref_dtype))


def regions(file: h5py.File) -> None:
    file["b"] = np.ones(3)
    file.create_dataset("a", data=np.array([file["b"].regionref[:]], h5py.regionref_dtype))


def never_written(file: h5py.File) -> None:
    file.create_dataset("a", (2**33,), "f4")


def never_written_chunks(file: h5py.File) -> None:
    file.create_dataset("a", (2**33,), "f4", chunks=(MIB,), compression="gzip")


def half_written(file: h5py.File) -> None:
    file.create_dataset("a", (100,), "f4", chunks=(10,), compression="gzip")[:50] = 1


def bomb(file: h5py.File) -> None:
    file.create_dataset("a", data=np.zeros(8 * MIB, np.float32), chunks=(8 * MIB,), compression="gzip")


def other_filter(file: h5py.File) -> None:
    file.create_dataset("a", data=np.zeros(100, np.float32), chunks=(10,), compression="lzf")


def dataset_of(array: Any, **options: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.create_dataset("a", data=array, **options) and None


REFUSED_WHEN_OPENED = {
    "soft_link": (links, "'link' is a soft link; links are not followed"),
    "external_link": (outside, "'link' is a link to another file; links are not followed"),
    "cycle": (cycle, "is an object that has another path too"),
    "named_type": (type_elsewhere, "neither a group nor an array"),
    "deep": (deep, "is nested deeper than 64 levels"),
}
REFUSED_WHEN_READ = {
    "external_storage": (stored_outside, "is stored in another file"),
    "virtual": (virtual, "is a virtual dataset"),
    "references": (references, "HDF5's class reference"),
    "regions": (regions, "HDF5's class reference"),
    "objects": (dataset_of(np.array(["a", "b"], object)), "must contain numbers, got text"),
    "text": (dataset_of(np.array([b"ab"])), "must contain numbers, got text"),
    "lists": (dataset_of(None, shape=(2,), dtype=h5py.vlen_dtype("f4")), "HDF5's class sequence"),
    "records": (dataset_of(np.zeros(2, [("x", "f4"), ("y", "i2")])), "HDF5's class compound"),
    "arrays": (dataset_of(None, shape=(2,), dtype=np.dtype(("f4", (3,)))), "HDF5's class array"),
    "opaque": (dataset_of(np.zeros(2, "V7")), "HDF5's class opaque"),
    "enumeration": (
        dataset_of(np.zeros(2, "i1"), dtype=h5py.enum_dtype({"a": 0, "b": 1}, "i1")),
        "HDF5's class enumeration",
    ),
    "complex": (dataset_of(np.zeros(2, complex)), "HDF5's class compound"),
    "long_double": (dataset_of(np.zeros(2, np.longdouble)), "HDF5's class float"),
    "nothing": (dataset_of(h5py.Empty("f4")), "a null dataspace"),
    "never_written": (never_written, "declares 34,359,738,368 bytes but stores 0"),
    "never_written_chunks": (never_written_chunks, "declares 34,359,738,368 bytes in 8,192 chunks but stores 0"),
    "half_written": (half_written, "in 10 chunks but stores"),
    "bomb": (bomb, "the limit is"),
    "other_filter": (other_filter, "HDF5's filter 32000"),
}


@pytest.mark.parametrize("name", REFUSED_WHEN_OPENED)
def test_files_that_are_refused_when_they_are_opened(name: str):
    make, part = REFUSED_WHEN_OPENED[name]
    with new_hdf5() as (file, done):
        make(file)
        data = done()
    assert peak(lambda: refused(lambda: open_arrays(data), "x.h5", part)) < 5 * MIB


@pytest.mark.parametrize("name", REFUSED_WHEN_READ)
def test_unsupported_and_missing_arrays_are_refused(name: str):
    make, part = REFUSED_WHEN_READ[name]
    with new_hdf5() as (file, done):
        make(file)
        data = done()
    arrays = open_arrays(data)
    assert peak(lambda: refused(lambda: open_arrays(data, MIB).read("a"), "x.h5", part)) < 5 * MIB
    refused(lambda: arrays.read("b/c"), "array 'b/c' is missing")


def test_attributes_that_are_not_strings_are_refused():
    with new_hdf5() as (file, done):
        file.attrs["numbers"] = [1, 2]
        file.attrs["bytes"] = np.array([b"\xff\xfe"])
        file.attrs["ref"] = file.ref
        arrays = open_arrays(done())
    refused(lambda: arrays.texts("numbers"), "attribute 'numbers'", "must be text")
    refused(lambda: arrays.texts("bytes"), "is not UTF-8")
    refused(lambda: arrays.texts("ref"), "HDF5's class reference")
    refused(lambda: arrays.texts("numbers", "missing"), "group 'missing' is missing")


def test_truncated_files_are_refused():
    with new_hdf5() as (file, done):
        file["a/b"] = np.arange(100.0)
        file.attrs["c"] = "d" * 3000
        data = done()
    for size in range(0, len(data), 61):
        refused(lambda size=size: open_arrays(data[:size]), "x.h5")
    refused(lambda: open_arrays(data[:-1]), "the file is truncated: it must have")


def chunked() -> bytes:
    """A file of one array in compressed chunks."""
    with new_hdf5() as (file, done):
        file.create_dataset("a", data=np.zeros(4 * 65536, np.float32), chunks=(65536,), compression="gzip")
        return done()


def test_a_chunk_that_decompresses_to_more_than_its_size_is_refused():
    """The HDF5 library decompresses a chunk completely, even if it becomes larger than a chunk may be."""
    with new_hdf5() as (file, done):
        a = file.create_dataset("a", (65536,), np.float32, chunks=(65536,), compression="gzip")
        a.id.write_direct_chunk((0,), zlib.compress(bytes(64 * MIB), 9))
        data = done()
    assert peak(lambda: refused(lambda: open_arrays(data).read("a"), "a damaged chunk at (0,)")) < 2 * MIB


def test_chunks_with_wrong_offsets_and_sizes_are_refused():
    data = chunked()
    tree = data.index(b"TREE\1")
    key = tree + 24 + 32  # the key of the second chunk: size, filters, offsets; the address follows
    for offset, part in ((3, "impossible offset"), (0, "impossible offset"), (2**40, "impossible offset")):
        refused(lambda o=offset: open_arrays(patched(data, (key + 8, struct.pack("<Q", o)))).read("a"), part)
    refused(lambda: open_arrays(patched(data, (key, b"\xff\xff\xff\x7f"))).read("a"), "stores 2,147,4")
    refused(lambda: open_arrays(patched(data, (key, b"\1\0\0\0"))).read("a"), "damaged chunk")
    refused(lambda: open_arrays(patched(data, (key + 4, b"\1"))).read("a"), "damaged chunk")
    refused(
        lambda: open_arrays(patched(data, (key + 24, struct.pack("<Q", 2**60)))).read("a"), "beyond the end of the file"
    )
    # A B-tree with itself as a child.
    level = patched(data, (tree + 5, b"\1"), *((key - 8 + 32 * i, struct.pack("<Q", tree)) for i in range(4)))
    refused(lambda: open_arrays(level).read("a"), "level")


def test_cyclic_metadata_is_refused():
    """Each of these caused an endless loop or a stack overflow in a version of the HDF5 library."""
    with new_hdf5() as (file, done):
        for number in range(30):
            file[f"a/b{number}"] = np.ones(2)
        file.attrs["c"] = ["d" * 40, "e" * 40]
        data = done()
    tree = data.rindex(b"TREE\0")
    table = data.index(b"SNOD", tree)
    for cyclic in (
        patched(data, (tree + 5, b"\1"), *((tree + 32 + 16 * i, struct.pack("<Q", tree)) for i in range(4))),
        patched(data, *((tree + 32 + 16 * i, struct.pack("<Q", table)) for i in range(4))),
    ):
        refused(lambda data=cyclic: open_arrays(data), "x.h5")
    heap = data.index(b"GCOL")
    for size in (0, 1, 2**16, 2**64 - 8, 2**64 - 16):
        refused(lambda size=size: open_arrays(patched(data, (heap + 24, struct.pack("<Q", size)))).texts("c"), "x.h5")


def test_a_continuation_message_that_refers_to_itself_is_refused():
    with new_hdf5() as (file, done):
        for number in range(20):
            file.attrs[f"a{number}"] = "b" * 30
        data = done()
    at = next(i for i in range(96, len(data)) if data[i : i + 4] == b"\x10\0\x10\0" and data[i + 4] == 0)
    address, size = struct.unpack_from("<QQ", data, at + 8)
    for target in (96, address, at):
        message = b"\x10\0\x10\0\0\0\0\0" + struct.pack("<QQ", target, size)
        refused(lambda m=message: open_arrays(patched(data, (address, m))), "x.h5")


@pytest.mark.parametrize("rank", [0, 1, 33, 255])
def test_damaged_shapes_are_refused(rank: int):
    with new_hdf5() as (file, done):
        file["a"] = np.float32([[1, 2], [3, 4]])
        data = done()
    space = data.index(b"\1\2\1\0\0\0\0\0" + struct.pack("<Q", 2))
    if rank > 1:
        refused(lambda: open_arrays(patched(data, (space + 1, bytes([rank])))).read("a"), "x.h5")
    for sizes in ((0, 2**62), (2**62, 0), (2**32, 2**32), (2**63, 2)):
        changed = patched(data, (space + 8, struct.pack("<QQ", *sizes)))
        refused(lambda changed=changed: open_arrays(changed).read("a"), "array 'a'", "declares")


def test_many_references_to_one_string_are_refused():
    """A small file with thousands of references to a long string."""
    with new_hdf5() as (file, done):
        file.attrs["c"] = ["d" * 60_000, *["e"] * 3000]
        data = done()
    at = data.index(struct.pack("<I", 60_000))
    data = patched(data, (at, data[at : at + 16] * 3001))
    assert peak(lambda: refused(lambda: open_arrays(data).texts("c"), "the metadata are cyclic or overlap")) < MIB


def test_a_heap_with_more_rows_than_its_offsets_have_bits_is_refused():
    """The size of a block doubles from row to row, so the offsets would be integers of thousands of bytes."""
    with new_hdf5(libver="latest") as (file, done):
        for number in range(60):
            file[f"a{number}"] = np.ones(2)
        data = done()
    heap = data.index(b"FRHP\0")
    table = b"FHIB\0" + bytes(20) + bytes(8 * 65_535)
    changes = [(heap + 110, struct.pack("<H", 1)), (heap + 132, struct.pack("<QH", len(data), 65_535))]
    data = patched(data, *changes) + table
    assert peak(lambda: refused(lambda: open_arrays(data), "a heap has 65535 rows of 1 blocks")) < 4 * MIB


def test_many_long_paths_are_refused():
    """The path of an object contains the names of all groups around it."""
    with new_hdf5(libver="latest") as (file, done):
        group = file.create_group("/".join(["a" * 1000] * 60))
        for number in range(2000):
            group.create_group(f"{number}")
        data = done()
    assert peak(lambda: refused(lambda: open_arrays(data), "the paths of its objects have more than")) < 80 * MIB


def file_with_messages(messages: bytes) -> bytes:
    """A file whose root group has these messages in an object header of version 2."""
    with new_hdf5(libver="latest") as (_, done):
        data = done()
    # The root's own header messages are replaced by one that refers to `messages`, at the end of the file.
    at = data.index(b"OHDR")
    size_bytes = 1 << (data[at + 5] & 3)
    skipped = 16 * bool(data[at + 5] & 32) + 4 * bool(data[at + 5] & 16)
    form = "<BHBH" if data[at + 5] & 4 else "<BHB"
    first = at + 6 + skipped + size_bytes
    fields = (0x10, 16, 0, 0) if data[at + 5] & 4 else (0x10, 16, 0)
    message = struct.pack(form, *fields) + struct.pack("<QQ", len(data), len(messages) + 8)
    size = int.from_bytes(data[first - size_bytes : first], "little")
    return patched(data, (first, message.ljust(size, b"\0"))) + b"OCHK" + messages + bytes(4)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", [0x06, 0x0C, 0x0D])
def test_millions_of_messages_are_refused(kind: int):
    data = file_with_messages(struct.pack("<BHB", kind, 0, 0) * 1_500_000)
    assert peak(lambda: refused(lambda: open_arrays(data), "more than 100,000 messages")) < 80 * MIB
