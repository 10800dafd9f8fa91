"""Malicious and damaged archives and folders: names, links, sizes and compression bombs."""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jconv.keras
from jconv.keras import KerasFileError
from tests.support.keras_crafted import ARRAYS, KERNEL, archive, conv, functional, hdf5, patched, saved
from tests.support.keras_watch import peak, refused

CONFIG = functional(conv())
MIB = 2**20


def with_member(name: str, mode: int = 0, data: bytes = b"x") -> bytes:
    """A valid archive with another member of this name and Unix mode."""
    stream = io.BytesIO(archive(CONFIG))
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr(info, data)
    return stream.getvalue()


def patched_at(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """The data with `changes`: a signature, an offset from its last occurrence, and the bytes to write there."""
    return patched(data, *((data.rindex(signature) + offset, new) for signature, offset, new in changes))


CENTRAL, END, LOCAL = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "\\\\host\\evil", "C:\\evil", "C:evil", "a\\..\\evil"]
)
def test_cve_2025_12060_names_that_lead_out_of_the_archive(name: str, tmp_path: Path):
    """Also CVE-2026-11816, where names were compared with the wrong folder."""
    path = saved(tmp_path, with_member(name))
    refused(lambda: jconv.keras.load(path), "leads out of the archive")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_cve_2025_12060_links_and_devices_in_an_archive(kind: int, tmp_path: Path):
    """Through a link, a later member would be written to another folder."""
    path = saved(tmp_path, with_member("assets", kind | 0o777, b"/etc"))
    refused(lambda: jconv.keras.load(path), "'assets'", "is a link or a device")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "x"])
def test_duplicate_members_are_refused(name: str, tmp_path: Path):
    twice = with_member(name)
    if name == "x":
        stream = io.BytesIO(twice)
        with warnings.catch_warnings(), zipfile.ZipFile(stream, "a") as file:
            warnings.simplefilter("ignore")
            file.writestr("x", "y")
        twice = stream.getvalue()
    refused(lambda: jconv.keras.load(saved(tmp_path, twice)), f"{name!r}: the name occurs twice")


def test_a_name_ends_at_its_first_null_byte(tmp_path: Path):
    data = with_member("config.jsonX").replace(b"config.jsonX", b"config.json\0")
    refused(lambda: jconv.keras.load(saved(tmp_path, data)), "'config.json': the name occurs twice")


def test_long_and_unprintable_names_are_refused_in_one_line(tmp_path: Path):
    refused(lambda: jconv.keras.load(saved(tmp_path, with_member("../" + "a\n\x1b[31m" * 100))), "leads out")
    refused(lambda: jconv.keras.load(saved(tmp_path, with_member("a" * 60000))), "60,000 characters")
    empty = with_member("X").replace(b"X", b"\0")  # zipfile reads the last character of the name
    refused(lambda: jconv.keras.load(saved(tmp_path, empty)), "0 characters")


def bomb() -> bytes:
    """32 MiB of zeros, which compress to 32 KiB."""
    return bytes(32 * MIB)


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no_config": (lambda: archive(CONFIG).replace(b"config.json", b"konfig.json"), "has no config.json"),
    "no_weights": (lambda: archive(CONFIG).replace(b"weights.h5", b"weights.xx"), "neither model.weights.h5 nor"),
    "empty": (lambda: b"", "neither a .keras archive, an HDF5 file nor a JSON file"),
    "only_magic": (lambda: LOCAL, "cannot be read as a zip archive"),
    "text": (lambda: b"#!/bin/sh\ntouch sung\n", "neither"),
    "pickle": (lambda: b"\x80\x04cos\nsystem\n(S'touch sung'\ntR.", "neither"),
    "config_bomb": (lambda: archive(b"[" + b" " * 40 * MIB + b"]"), "config.json"),
    "weights_bomb": (lambda: archive(CONFIG, bomb()), "model.weights.h5"),
    "declares_less": (lambda: patched_at(archive(CONFIG), (CENTRAL, 24, struct.pack("<I", 10))), "damaged"),
    "declares_more": (lambda: patched_at(archive(CONFIG), (CENTRAL, 24, struct.pack("<I", 10**6))), "model.weights.h5"),
    "declares_4_gib": (
        lambda: patched_at(archive(CONFIG), (CENTRAL, 24, struct.pack("<I", 2**32 - 2))),
        "declares 4,29",
    ),
    "member_beyond_the_end": (lambda: patched_at(archive(CONFIG), (CENTRAL, 42, struct.pack("<I", 2**31))), "damaged"),
    "other_name_inside": (lambda: archive(CONFIG).replace(b"model", b"muddl", 1), "damaged"),
    "wrong_checksum": (lambda: patched_at(archive(CONFIG), (CENTRAL, 16, b"abcd")), "damaged"),
    "encrypted": (lambda: patched_at(archive(CONFIG), (CENTRAL, 8, b"\1\0")), "encrypted"),
    "other_compression": (
        lambda: patched_at(archive(CONFIG), (CENTRAL, 10, b"\x0c\0")),
        "compressed by a method that Keras does not use",
    ),
    "directory_beyond_the_end": (
        lambda: patched_at(archive(CONFIG), (END, 12, struct.pack("<I", 2**31))),
        "zip archive",
    ),
    "truncated": (lambda: archive(CONFIG)[:-40], "zip archive"),
    "bytes_before_the_archive": (lambda: archive(CONFIG)[:200] + archive(CONFIG), ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_archives_are_refused(name: str, tmp_path: Path):
    made, part = BROKEN[name]
    path = saved(tmp_path, made())
    if name == "bytes_before_the_archive":  # zipfile ignores what precedes the archive
        assert jconv.keras.load(path)[0].outputs == ("conv1d",)
        return
    limits = {"max_bytes": 16 * MIB} if name == "weights_bomb" else {}
    assert peak(lambda: refused(lambda: jconv.keras.load(path, **limits), part)) < 50 * MIB


def test_impossible_compression_ratios_are_refused(tmp_path: Path):
    data = patched_at(archive(CONFIG, bytes(3 * MIB)), (CENTRAL, 24, struct.pack("<I", 2**31 - 1)))
    refused(lambda: jconv.keras.load(saved(tmp_path, data)), "stores", "no compression of Keras reaches that ratio")


def test_max_bytes_limits_declared_sizes(tmp_path: Path):
    path = saved(tmp_path, archive(CONFIG))
    refused(lambda: jconv.keras.load(path, max_bytes=1000), "the limit is 1,000", "max_bytes")
    refused(lambda: jconv.keras.load(saved(tmp_path, hdf5(), "x.weights.h5"), max_bytes=1000), "load_weights")
    model, params, _ = jconv.keras.load(path, max_bytes=10_000)
    np.testing.assert_array_equal(params["conv1d"]["kernel"], KERNEL)
    refused(lambda: jconv.keras.load(path, max_bytes=len(hdf5()) - 1), "the limit is")
    weights = saved(tmp_path, hdf5(), "y.weights.h5")
    refused(lambda: jconv.keras.load_weights(weights, model, max_bytes=100), "the limit is 100")


def test_the_size_of_the_archive_directory_is_limited(tmp_path: Path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for number in range(3000):
            file.writestr(f"assets/{number:08}/" + "x" * 900, b"")
    data = stream.getvalue()
    end = data.rindex(END)
    listed = data[data.index(CENTRAL) : end]
    many = archive(CONFIG)[:-22] + listed * 2
    many += patched_at(data[end:], (END, 12, struct.pack("<I", len(listed) * 2)))
    path = saved(tmp_path, many)
    assert peak(lambda: refused(lambda: jconv.keras.load(path), "an archive directory of")) < 20 * MIB


@pytest.fixture
def unzipped(tmp_path: Path) -> Path:
    """A `.keras` file as a folder."""
    folder = tmp_path / "model.keras"
    with zipfile.ZipFile(io.BytesIO(archive(CONFIG))) as file:
        file.extractall(folder)
    return folder


def test_an_unzipped_archive_is_loaded(unzipped: Path):
    _, params, _ = jconv.keras.load(unzipped)
    np.testing.assert_array_equal(params["conv1d"]["bias"], ARRAYS["layers/conv1d/vars/1"])
    refused(lambda: jconv.keras.load(unzipped, max_bytes=100), "the limit is 100")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_members_of_a_folder_must_be_regular_files(name: str, kind: str, unzipped: Path):
    """A link could lead to any file of the user; reading a pipe would block."""
    path = unzipped / name
    target = path.rename(unzipped.parent / "elsewhere")
    {"link": lambda: path.symlink_to(target), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    refused(lambda: jconv.keras.load(unzipped), "has no config.json" if name == "config.json" else "has neither")


def test_a_member_replaced_by_a_link_after_listing_is_refused(unzipped: Path, monkeypatch: pytest.MonkeyPatch):
    """A member becomes a link or a pipe between listing the folder and opening the member."""
    path = unzipped / "model.weights.h5"
    target = path.rename(unzipped.parent / "elsewhere")
    listed = os.scandir

    def late(folder: Any) -> Any:
        path.touch()
        found = list(listed(folder))
        path.unlink()
        path.symlink_to(target) if late.kind == "link" else os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "scandir", late)
    late.kind = "link"
    with pytest.raises(OSError):
        jconv.keras.load(unzipped)
    path.unlink()
    late.kind = "pipe"
    refused(lambda: jconv.keras.load(unzipped), "is not a file")


def test_paths_that_are_not_regular_files_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        jconv.keras.load(tmp_path / "none.keras")
    pipe = tmp_path / "pipe.keras"
    os.mkfifo(pipe)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (refused(lambda: jconv.keras.load(pipe), "is not a file"), done.set()))
    thread.daemon = True
    thread.start()
    assert done.wait(5)
    refused(lambda: jconv.keras.load("/dev/null"), "is not a file")
    link = tmp_path / "link.keras"
    link.symlink_to(saved(tmp_path, archive(CONFIG), "real.keras"))
    assert jconv.keras.load(link)[0].outputs == ("conv1d",)


def test_zip64_and_streamed_members_are_read(tmp_path: Path):
    """Archives with 64-bit sizes, and archives written to a stream, which have the sizes after the data."""

    class Stream(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += bytes(data)
            return len(data)

    stream, wide = Stream(), io.BytesIO()
    for target, options in ((stream, {}), (wide, {"force_zip64": True})):
        with zipfile.ZipFile(target, "w") as file, zipfile.ZipFile(io.BytesIO(archive(CONFIG))) as old:
            for name in old.namelist():
                with file.open(name, "w", **options) as member:
                    member.write(old.read(name))
    for data in (stream.written, wide.getvalue()):
        assert jconv.keras.load(saved(tmp_path, data))[0].outputs == ("conv1d",)
    # The 64-bit sizes are missing: recent versions of Python notice it, older ones use the placeholders.
    lying = patched_at(archive(CONFIG), (CENTRAL, 20, b"\xff" * 8))
    refused(lambda: jconv.keras.load(saved(tmp_path, lying)), "model.keras")


def test_overlapping_members_are_harmless(tmp_path: Path):
    """Two directory entries refer to the same bytes, as in some compression bombs."""
    data = archive(CONFIG)
    first, end = data.index(CENTRAL), data.rindex(END)
    entry = data[data.rindex(CENTRAL) : end]
    again = data[:end] + entry.replace(b"model.weights.h5", b"other.weights.h5") + data[end:]
    count, size = struct.pack("<HH", 3, 3), struct.pack("<I", end - first + len(entry))
    path = saved(tmp_path, patched_at(again, (END, 8, count), (END, 12, size)))
    try:  # the file may also load, because jconv does not read the second entry
        assert jconv.keras.load(path)[0].outputs == ("conv1d",)
    except KerasFileError as error:
        assert "damaged" in str(error)


def test_the_first_bytes_determine_the_format(tmp_path: Path):
    h5 = hdf5()
    refused(lambda: jconv.keras.load(saved(tmp_path, h5 + archive(CONFIG))), "has arrays and no model")
    padded = b"\0" * 512 + h5  # a user block, which h5py would skip
    refused(lambda: jconv.keras.load(saved(tmp_path, padded)), "neither a .keras archive, an HDF5 file nor a JSON file")
    refused(lambda: jconv.keras.load(saved(tmp_path, archive(CONFIG, padded))), "the signature is missing")
    model, _, _ = jconv.keras.load(saved(tmp_path, archive(CONFIG) + b"PK"))
    assert model.outputs == ("conv1d",)
