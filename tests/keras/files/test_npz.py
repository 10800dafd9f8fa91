"""Arrays in `.npz` files, valid and malicious: pickles, code in headers, and wrong sizes."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jconv.keras
from tests.support.keras_crafted import BIAS, KERNEL, conv, functional, saved
from tests.support.keras_watch import peak, refused

CONFIG = functional(conv())
MIB = 2**20


def npz(**members: bytes) -> bytes:
    """A `.npz` file with these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            file.writestr(f"layers/conv1d/vars/{name.removeprefix('v')}.npy", data)
    return stream.getvalue()


def npy(array: Any, **changes: Any) -> bytes:
    """An array in NumPy's format."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(array), **changes)
    return stream.getvalue()


def with_npz(weights: bytes) -> bytes:
    """A `.keras` file with arrays in a `.npz` file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("config.json", json.dumps(CONFIG))
        file.writestr("model.weights.npz", weights)
    return stream.getvalue()


def in_npz(kernel: bytes) -> bytes:
    """A `.keras` file with this kernel and a valid bias."""
    return with_npz(npz(v0=kernel, v1=npy(BIAS)))


@pytest.mark.parametrize(
    "kernel",
    [KERNEL, np.asfortranarray(KERNEL), KERNEL.astype(">f4"), KERNEL.astype(np.float16), KERNEL[::-1]],
    ids=["plain", "fortran", "big_endian", "float16", "reversed"],
)
def test_arrays_in_npz_are_read(kernel: Any, tmp_path: Path):
    _, params, _ = jconv.keras.load(saved(tmp_path, in_npz(npy(kernel))))
    np.testing.assert_array_equal(params["conv1d"]["kernel"], kernel)


def header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """A member with this header."""
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode() + data


HEADERS = {
    "pickled": npy(np.array([os.system], object), allow_pickle=True),
    "pickled_dict": npy(np.array({"0": KERNEL}, object), allow_pickle=True),
    "text": npy(np.array(["a"])),
    "records": npy(np.zeros(3, [("a", "f4"), ("b", "O")][:1])),
    "complex": npy(KERNEL.astype(np.complex64)),
    "long_double": npy(KERNEL.astype(np.longdouble)),
    "version_9": b"\x93NUMPY\x09\x00" + npy(KERNEL)[8:],
    "no_magic": b"\x93NUMPI" + npy(KERNEL)[6:],
    "empty": b"",
    "truncated": npy(KERNEL)[:-4],
    "bytes_at_the_end": npy(KERNEL) + b"0000",
    "expression": header("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }"),
    "nested": header("(" * 9000),
    "huge": header("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 999999999), }"),
    "huge_and_empty": header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 999999999999999999), }"),
    "negative": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -24), }", bytes(96)),
    "nan": header("{'descr': '<f4', 'fortran_order': False, 'shape': (nan,), }", bytes(96)),
    "long_header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{",
    "other_shape": npy(KERNEL.reshape(4, 6)),
    "scalar": npy(np.float32(1)),
}


@pytest.mark.parametrize("name", HEADERS)
def test_invalid_arrays_in_npz_are_refused(name: str, tmp_path: Path):
    path = saved(tmp_path, in_npz(HEADERS[name]))
    readable = ("other_shape", "scalar", "huge_and_empty")
    part = "must have the shape (2, 4, 3)" if name in readable else "layers/conv1d/vars/0"
    assert peak(lambda: refused(lambda: jconv.keras.load(path), part)) < 5 * MIB


def test_a_compression_bomb_in_npz_is_refused(tmp_path: Path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("layers/conv1d/vars/0.npy", npy(np.zeros(16 * MIB, np.float32)))
    path = saved(tmp_path, with_npz(stream.getvalue()))
    assert peak(lambda: refused(lambda: jconv.keras.load(path, max_bytes=MIB), "the limit is")) < 5 * MIB
