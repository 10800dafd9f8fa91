"""The forms of a Keras file, recognized by the first bytes and not by the name.

- `.keras`: a zip archive of `config.json`, `metadata.json` and `model.weights.h5` (or `.npz`), or the same as a folder.
- `.h5`: an HDF5 file of a complete model, the form of Keras 2: the config in an attribute, the arrays layer by layer.
- `.weights.h5`: the arrays alone, arranged as in Keras 3 or Keras 2.
- `.json`: the config alone; also a folder of one such file and one HDF5 file of arrays.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from . import hdf5, zip
from .errors import KerasFileError
from .json_text import parse_json
from .limits import MAX_CONFIG_BYTES, Budget
from .npz import NpzArrays

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", ("model.weights.h5", "model.weights.npz")
# The group of the arrays in a complete model of Keras 2.
KERAS_2_WEIGHTS = "model_weights"
HDF5_MAGIC, ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


class Arrays(Protocol):
    """Arrays by path."""

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        ...

    def read(self, path: str) -> np.ndarray[Any, Any]:
        """The array at `path`. Raises `KerasFileError` if it is missing."""
        ...


@dataclass(frozen=True)
class Contents:
    """The contents of an open file; None for parts that it does not have.

    `training` is the compile config, `version` the version of Keras that wrote the file, empty if unknown. If the
    arrays are arranged layer by layer, as in Keras 2, `by_layer` is the open HDF5 file and `group` their group in it.
    """

    config: dict[str, Any] | None
    training: dict[str, Any] | None
    arrays: Arrays | None
    version: str = ""
    by_layer: hdf5.Hdf5Arrays | None = None
    group: str = ""

    @property
    def is_keras_2(self) -> bool:
        """Whether Keras 2 wrote the file."""
        return self.version.startswith("2.")


@contextmanager
def open_contents(path: str | os.PathLike[str], max_bytes: int) -> Iterator[Contents]:
    """The contents of a file, readable inside the `with` block. Its arrays may declare at most `max_bytes` in total.

    Raises `KerasFileError` for a file in none of Keras's forms or beyond a limit, and `OSError` for one that cannot be
    opened.
    """
    path = Path(path)
    budget = Budget(max_bytes)
    if path.is_dir():
        names = {entry.name for entry in os.scandir(path) if entry.is_file(follow_symlinks=False)}
        yield _from_members(names, lambda name, *rest: _read_file(path / name, *rest), path.name, budget, folder=True)
        return
    with _open_regular_file(path, follow_links=True) as file:
        magic = file.read(len(HDF5_MAGIC))
        if magic == HDF5_MAGIC:
            yield _from_hdf5(file, path.name, budget)
        elif magic.startswith(ZIP_MAGIC):
            with zip.open_archive(file, path.name) as archive:
                members = zip.list_members(archive, path.name)

                def read(name: str, *rest: Any) -> bytes:
                    return zip.read_member(archive, members[name], f"{name} of {path.name}", *rest)

                yield _from_members(set(members), read, path.name, budget)
        elif magic.lstrip().startswith(b"{"):
            size = os.fstat(file.fileno()).st_size
            Budget(MAX_CONFIG_BYTES).spend(size, path.name)
            config = parse_json(magic + file.read(size), path.name)
            yield Contents(config, None, None, _version(config))
        else:
            raise KerasFileError(
                f"{path.name} is neither a .keras archive, an HDF5 file nor a JSON file: it begins with {magic!r}"
            )


def _open_regular_file(path: Path, *, follow_links: bool) -> BinaryIO:
    # A pipe would block without O_NONBLOCK. Not every system has all of these flags.
    flags = [getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_BINARY", "O_CLOEXEC")]
    handle = os.open(path, sum(flags, os.O_RDONLY) | (0 if follow_links else getattr(os, "O_NOFOLLOW", 0)))
    file = os.fdopen(handle, "rb")
    # The open file is checked, since the path may change in between.
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise KerasFileError(f"{path.name} is not a file")
    return file


def _read_file(path: Path, budget: Budget, find_size: zip.FindSize = lambda head: None) -> bytes:
    with _open_regular_file(path, follow_links=False) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(min(size, zip.HEAD_BYTES))
        own_size = find_size(head)
        size = size if own_size is None else min(size, own_size)
        budget.spend(size, path.name)
        return (head + file.read(max(size - len(head), 0)))[:size]


def _from_hdf5(data: bytes | BinaryIO, what: str, budget: Budget) -> Contents:
    arrays = hdf5.open_arrays(data, what, budget)
    texts = {name: arrays.text(name) for name in ("model_config", "training_config")}
    version = (arrays.text("keras_version") or b"").decode("utf-8", "replace")
    config, training = (None if t is None else parse_json(t, f"{name} of {what}") for name, t in texts.items())
    if config is not None or arrays.has_attribute("layer_names"):
        return Contents(config, training, arrays, version, arrays, "" if config is None else KERAS_2_WEIGHTS)
    return Contents(config, training, arrays.with_slashes(), version)


def _from_members(names: set[str], read: Any, what: str, budget: Budget, folder: bool = False) -> Contents:
    """The contents of an archive or a folder with files `names`, of which `read(name, budget, find_size)` reads one."""

    def read_json(name: str) -> dict[str, Any]:
        return parse_json(read(name, Budget(MAX_CONFIG_BYTES)), f"{name} of {what}")

    configs, files = ([name for name in sorted(names) if name.endswith(end)] for end in (".json", (".h5", ".hdf5")))
    if folder and CONFIG not in names and len(configs) == len(files) == 1:
        config = read_json(configs[0])
        data = read(files[0], Budget(budget.limit), hdf5.file_size)
        contents = _from_hdf5(data, f"{files[0]} of {what}", budget)
        return replace(contents, config=config, version=_version(config) or contents.version)
    if CONFIG not in names:
        also = ", and a folder of a JSON config and its arrays has one .json and one .h5 file" if folder else ""
        raise KerasFileError(f"{what} has no {CONFIG}; a .keras archive has one{also}")
    config = read_json(CONFIG)
    metadata = read_json(METADATA) if METADATA in names else {}
    weights = next((name for name in WEIGHTS if name in names), None)
    if weights is None:
        raise KerasFileError(f"{what} has neither {' nor '.join(WEIGHTS)}")
    # The bytes of this file and its arrays are in memory at the same time; each may reach the limit.
    is_npz = weights.endswith(".npz")
    data = read(weights, Budget(budget.limit), *(() if is_npz else (hdf5.file_size,)))
    name = f"{weights} of {what}"
    training = config.get("compile_config")
    training = training if isinstance(training, dict) else None
    arrays = NpzArrays(data, name, budget) if is_npz else hdf5.open_arrays(data, name, budget).with_slashes()
    return Contents(config, training, arrays, _version(metadata))


def _version(values: dict[str, Any]) -> str:
    version = values.get("keras_version")
    return version if isinstance(version, str) else ""
