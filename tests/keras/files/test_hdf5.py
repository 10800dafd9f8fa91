"""HDF5 files are read as by h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest

from jconv.keras.files import hdf5
from jconv.keras.files.limits import Budget
from tests.support.keras_crafted import new_hdf5
from tests.support.keras_watch import refused

MIB = 2**20


def open_arrays(data: bytes, limit: int = 64 * MIB) -> hdf5.Hdf5Arrays:
    return hdf5.open_arrays(data, "x.h5", Budget(limit))


ARRAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    **{kind: (np.arange(24).reshape(2, 3, 4).astype(kind), {}) for kind in ("<f2", ">f4", "<f8", "u1", ">i2", "<i8")},
    "bool": (np.array([[True, False], [False, True]]), {}),
    "scalar": (np.float32(3), {}),
    "empty": (np.zeros((0, 3), np.float32), {}),
    "extensible": (np.arange(6.0), {"maxshape": (None,), "chunks": (4,)}),
    "chunks": (np.arange(7000.0).reshape(70, 100), {"chunks": (16, 30)}),
    "many_chunks": (np.arange(2000.0), {"chunks": (3,), "compression": "gzip"}),
    "gzip": (np.arange(60, dtype=np.int16).reshape(6, 10), {"chunks": (4, 4), "compression": "gzip"}),
    "shuffle": (np.arange(60.0).reshape(6, 10), {"chunks": (4, 4), "shuffle": True}),
    "fletcher32": (np.arange(61, dtype=np.uint8), {"chunks": (7,), "fletcher32": True}),
    "all": (np.arange(60, dtype=">f4"), {"chunks": (7,), "compression": "gzip", "shuffle": True, "fletcher32": True}),
}


def test_arrays_equal_what_h5py_wrote():
    with new_hdf5() as (file, done):
        for name, (array, options) in ARRAYS.items():
            file.create_dataset(f"a/{name}", data=array, **options)
        arrays = open_arrays(done())
    assert sorted(arrays.paths()) == sorted(f"a/{name}" for name in ARRAYS)
    for name, (array, _) in ARRAYS.items():
        found = arrays.read(f"a/{name}")
        assert found.dtype == array.dtype.newbyteorder("=") and found.dtype.isnative, name
        np.testing.assert_array_equal(found, array)


def test_compact_arrays_and_bfloat16_are_read():
    bfloat16_array = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    with new_hdf5() as (file, done):
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((6,))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, layout)
        file["compact"][:] = np.arange(6)
        for name, array in (
            ("opaque", bfloat16_array),
            ("uint16", bfloat16_array.astype(np.uint16)),
            ("float32", bfloat16_array.astype(np.float32)),
        ):
            file.create_dataset(name, data=array).attrs["dtype"] = "bfloat16"
        arrays = open_arrays(done())
    np.testing.assert_array_equal(arrays.read("compact"), np.arange(6, dtype=np.float32))
    for name in ("opaque", "uint16", "float32"):
        assert arrays.read(name).dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(arrays.read(name), bfloat16_array)


def test_string_attributes_are_read():
    names = [f"layer_{number}" for number in range(40)] + ["ä/ö"]
    with new_hdf5() as (file, done):
        file.attrs["variable_length"] = names
        file.attrs["fixed_length"] = np.array([name.encode() for name in names])
        file.attrs["long"] = "a" * 100_000
        file.attrs["none"] = []
        for part in range(3):
            file.attrs[f"split{part}"] = names[part::3]
        arrays = open_arrays(done())
    assert arrays.texts("variable_length") == arrays.texts("fixed_length") == names
    assert arrays.texts("split") == names[0::3] + names[1::3] + names[2::3]
    assert arrays.text("long") == b"a" * 100_000
    assert arrays.texts("none") == [] and arrays.text("missing") is None
    assert arrays.has_attribute("split") and not arrays.has_attribute("spli")


def test_many_groups_are_read():
    with new_hdf5() as (file, done):
        for number in range(700):
            file[f"layers/layer_{number}/vars/0"] = np.float32([number])
        data = done()
    arrays = open_arrays(data)
    assert len(arrays.paths()) == 700
    assert all(arrays.read(f"layers/layer_{number}/vars/0")[0] == number for number in range(700))


# Extensible arrays, which Keras does not write. Recent versions of the format index their chunks differently.
UNSUPPORTED = {"v108": (), "v110": ("extensible",), "latest": ("extensible",)}


@pytest.mark.parametrize("version", UNSUPPORTED)
def test_recent_versions_of_the_format_are_read(version: str):
    """Files as written by `h5py.File(..., libver=...)` and h5repack, with heaps of links and attributes."""
    with new_hdf5(libver=version if version == "latest" else (version, version)) as (file, done):
        for name, (array, options) in ARRAYS.items():
            file.create_dataset(f"a/{name}", data=array, **options)
        for options in ({}, {"compression": "gzip"}):
            file.create_dataset(f"pages{len(options)}", data=np.arange(9000.0), chunks=(3,), **options)
        for number in range(700):
            file[f"layers/layer_{number}/vars/0"] = np.float32([number])
        for number in range(40):
            file.attrs[f"names{number}_"] = [f"n{number}", "\u00e4"]
            file["layers"].attrs[f"long{number}_"] = "a" * number
        file.attrs["long"] = "a" * 100_000
        data = done()
    assert data[8] == {"v108": 2}.get(version, 3)
    arrays = open_arrays(data)
    for name, (array, _) in ARRAYS.items():
        if name in UNSUPPORTED[version]:
            refused(lambda name=name: arrays.read(f"a/{name}"), "is an extensible array")
            continue
        found = arrays.read(f"a/{name}")
        assert found.dtype == array.dtype.newbyteorder("=") and found.dtype.isnative, name
        np.testing.assert_array_equal(found, array)
    for path in ("pages0", "pages1"):
        np.testing.assert_array_equal(arrays.read(path), np.arange(9000.0))
    assert all(arrays.read(f"layers/layer_{number}/vars/0")[0] == number for number in range(700))
    for number in range(40):
        assert arrays.texts(f"names{number}_") == [f"n{number}", "\u00e4"]
        assert arrays.text(f"long{number}_", "layers") == b"a" * number
    assert arrays.text("long") == b"a" * 100_000


def test_members_in_creation_order_are_read():
    with new_hdf5(track_order=True) as (file, done):
        for number in range(12):
            file.attrs[f"a{number}"] = "a"
            file[f"b{number}"] = np.ones(3)
        data = done()
    arrays = open_arrays(data)
    assert len(arrays.paths()) == 12 and arrays.text("a11") == b"a"


def test_user_blocks_are_refused():
    with new_hdf5(userblock_size=512) as (file, done):
        file["a"] = np.ones(3)
        data = done()
    refused(lambda: open_arrays(data), "x.h5")


def test_arrays_are_read_from_open_files(tmp_path: Path):
    with new_hdf5() as (file, done):
        file["a/b"] = np.arange(1000.0)
        file.attrs["c"] = ["d", "e"]
        data = done()
    path = tmp_path / "x.h5"
    path.write_bytes(data)
    with path.open("rb") as stream:
        arrays = hdf5.open_arrays(stream, "x.h5", Budget(MIB))
        np.testing.assert_array_equal(arrays.read("a/b"), np.arange(1000.0))
        assert arrays.texts("c") == ["d", "e"]
        refused(lambda: hdf5.open_arrays(stream, "x.h5", Budget(100)).read("a/b"), "the limit is 100")
