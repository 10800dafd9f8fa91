"""Archives written on Windows, and weights followed by other bytes."""

from __future__ import annotations

import io
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import jconv.keras
from tests.support.keras_crafted import ARRAYS, archive, conv, functional, hdf5, new_hdf5, saved
from tests.support.keras_watch import peak, refused

CONFIG = functional(conv())
MIB = 2**20


def on_windows(arrays: dict[str, Any] | None = None) -> bytes:
    """Weights as Keras writes them on Windows: the path of a layer, with backslashes, is the name of one group."""
    with new_hdf5() as (file, done):
        for path, array in (ARRAYS if arrays is None else arrays).items():
            folder, name = path.split("/vars/")
            file.require_group(folder.replace("/", "\\")).require_group("vars")[name] = array
        return done()


def test_archives_written_on_windows_are_read(tmp_path: Path) -> None:
    model, params, _ = jconv.keras.load(saved(tmp_path, archive(CONFIG, on_windows())))
    np.testing.assert_array_equal(params["conv1d"]["kernel"], ARRAYS["layers/conv1d/vars/0"])
    again, _ = jconv.keras.load_weights(saved(tmp_path, on_windows(), "a.weights.h5"), model)
    np.testing.assert_array_equal(again["conv1d"]["bias"], ARRAYS["layers/conv1d/vars/1"])
    twice = on_windows()
    with h5py.File(io.BytesIO(twice), "r+") as file:
        file["layers/conv1d/vars/0"] = np.ones(3)
        file.flush()
        stream: Any = file.id.get_file_image()
    refused(lambda: jconv.keras.load(saved(tmp_path, archive(CONFIG, stream))), "is used twice")


def with_zeros(weights: bytes, zeros: int) -> bytes:
    """An archive whose weights are followed by `zeros` zero bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        with zipfile.ZipFile(io.BytesIO(archive(CONFIG))) as other:
            file.writestr("config.json", other.read("config.json"))
        with file.open("model.weights.h5", "w") as member:
            member.write(weights)
            for _ in range(zeros // MIB):
                member.write(bytes(MIB))
    return stream.getvalue()


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_zeros_after_the_weights_are_not_read(version: str, tmp_path: Path) -> None:
    """Only as many bytes are read as the HDF5 superblock declares, whatever the size of the member."""
    with new_hdf5(libver=version) as (file, done):
        for path, array in ARRAYS.items():
            file[path] = array
        weights = done()
    path = saved(tmp_path, with_zeros(weights, 600 * MIB))
    found: list[Any] = []
    began = time.monotonic()
    assert peak(lambda: found.append(jconv.keras.load(path, max_bytes=MIB))) < 20 * MIB
    assert time.monotonic() - began < 15
    np.testing.assert_array_equal(found[0][1]["conv1d"]["kernel"], ARRAYS["layers/conv1d/vars/0"])


def test_zeros_after_the_weights_in_a_folder_are_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(CONFIG))) as file:
        file.extractall(tmp_path)
    with (tmp_path / "model.weights.h5").open("r+b") as file:
        file.truncate(600 * MIB)
    assert peak(lambda: jconv.keras.load(tmp_path, max_bytes=MIB)) < 20 * MIB


def test_weights_that_declare_more_bytes_than_their_member_are_refused(tmp_path: Path) -> None:
    weights = bytearray(hdf5())
    weights[40:48] = (2**40).to_bytes(8, "little")
    refused(lambda: jconv.keras.load(saved(tmp_path, archive(CONFIG, bytes(weights)))), "the file is truncated")
    # The bytes that belong to the file are compared with the checksum of the member.
    damaged = archive(CONFIG, hdf5()).replace(zlib.crc32(hdf5()).to_bytes(4, "little"), b"\1\2\3\4")
    refused(lambda: jconv.keras.load(saved(tmp_path, damaged)), "damaged")
