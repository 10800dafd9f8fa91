"""Damaged files: flipped, overwritten, copied and truncated bytes, and findings of the fuzzer."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

import jconv.keras
from jconv.keras import KerasFileError
from jconv.keras.files.container import open_contents
from jconv.keras.files.hdf5 import Hdf5Arrays
from tests.fuzz.mutate import Random, changed_bytes
from tests.support.keras_crafted import ARRAYS, KERNEL, archive, conv, functional, hdf5, new_hdf5, saved
from tests.support.keras_seeds import found
from tests.support.keras_watch import SECONDS, peak, refused

MIB = 2**20
CONFIG = functional(conv())


def complete_model() -> bytes:
    """A complete model as Keras 2 writes it."""
    with new_hdf5() as (file, done):
        file.attrs["model_config"] = json.dumps(CONFIG)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["in0", "conv1d"]
        group.create_group("in0").attrs["weight_names"] = []
        group.create_group("conv1d").attrs["weight_names"] = ["conv1d/kernel", "conv1d/bias"]
        for name, array in zip(("kernel", "bias"), ARRAYS.values(), strict=True):
            group[f"conv1d/conv1d/{name}"] = array
        return done()


def latest_format() -> bytes:
    """The same model with `libver="latest"`: heaps of links and attributes, and arrays in chunks."""
    with new_hdf5(libver="latest") as (file, done):
        file.attrs["model_config"] = json.dumps(CONFIG)
        group = file.create_group("model_weights")
        others = [f"none{number}" for number in range(12)]
        group.attrs["layer_names"] = ["in0", *others, "conv1d"]
        for name in ("in0", *others):
            group.create_group(name).attrs["weight_names"] = []
            group.attrs[f"about_{name}"] = name
        group.create_group("conv1d").attrs["weight_names"] = ["conv1d/kernel", "conv1d/bias"]
        for name, array in zip(("kernel", "bias"), ARRAYS.values(), strict=True):
            options = {"chunks": (1,) * array.ndim, "compression": "gzip"}
            group.create_dataset(f"conv1d/conv1d/{name}", data=array, **options)
        return done()


def compressed() -> bytes:
    """Arrays in compressed chunks."""
    with new_hdf5() as (file, done):
        for path, array in ARRAYS.items():
            options = {"chunks": array.shape, "compression": "gzip", "shuffle": True, "fletcher32": True}
            file.create_dataset(path, data=array, **options)
        return done()


FORMS = {
    "model.keras": lambda: archive(CONFIG),
    "model.h5": complete_model,
    "latest_format.h5": latest_format,
    "model.weights.h5": hdf5,
    "compressed.weights.h5": compressed,
}


def read(path: Path) -> None:
    """Read everything in a file."""
    with suppress(KerasFileError):
        jconv.keras.load(path, max_bytes=16 * MIB)
    with suppress(KerasFileError), open_contents(path, 16 * MIB) as contents:
        arrays = contents.arrays
        paths = [] if arrays is None else arrays.paths()
        for name in paths:
            with suppress(KerasFileError):
                assert arrays is not None
                arrays.read(name)
        if isinstance(contents.arrays, Hdf5Arrays):
            contents.arrays.folders()
            contents.arrays.texts("layer_names", "model_weights")


def test_the_undamaged_files_load(tmp_path: Path):
    for name in ("model.keras", "model.h5", "latest_format.h5"):
        _, params, _ = jconv.keras.load(saved(tmp_path, FORMS[name](), name))
        assert params["conv1d"]["kernel"].tolist() == KERNEL.tolist()
    model, _, _ = jconv.keras.load(tmp_path / "model.keras")
    for name in ("model.weights.h5", "compressed.weights.h5"):
        params, _ = jconv.keras.load_weights(saved(tmp_path, FORMS[name](), name), model)
        assert params["conv1d"]["kernel"].tolist() == KERNEL.tolist()


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", FORMS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path):
    """No other exception is raised, and there are no endless loops as in the HDF5 library."""
    data, path = FORMS[name](), tmp_path / name

    def read_all() -> None:
        for seed in range(120):
            path.write_bytes(changed_bytes(data, Random(seed)))
            read(path)

    assert peak(read_all) < 40 * MIB


@pytest.mark.parametrize("name", FORMS)
def test_truncated_files_are_refused(name: str, tmp_path: Path):
    data = FORMS[name]()
    for size in range(0, len(data), 97):
        path = saved(tmp_path, data[:size], name)
        refused(lambda path=path: jconv.keras.load(path))


def test_a_byte_that_hangs_the_hdf5_library_is_read_or_refused(tmp_path: Path):
    """The byte is the size of a string; with some values, HDF5 2.0.0 does not terminate."""
    data = complete_model()
    heap = data.index(b"GCOL")
    for value in range(256):
        changed = bytearray(data)
        changed[heap + 24] = value
        with suppress(KerasFileError):
            jconv.keras.load(saved(tmp_path, bytes(changed), "model.h5"))


@pytest.mark.parametrize("name", found())
def test_findings_of_the_fuzzer_are_refused(name: str, tmp_path: Path):
    path = saved(tmp_path, found()[name], name)
    refused(lambda: jconv.keras.load(path, max_bytes=16 * MIB), seconds=SECONDS)
    read(path)
