"""What a Keras file holds, whichever of its forms it has: a config and arrays by path.

- `.keras`: a zip archive of `config.json`, `metadata.json` and `model.weights.h5` (or `.npz`); also unzipped, a folder.
- `.h5`: an HDF5 file with the config in an attribute and the arrays layer by layer, the form of Keras 2.
- `.weights.h5`: the arrays alone, in either arrangement.
- `.json`: the config alone; and a folder of one such text and one file of arrays.

The form is told by the first bytes, not by the name.
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
from .json_text import parse
from .limits import CONFIG_BYTES, Budget
from .npz import NpzArrays

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", ("model.weights.h5", "model.weights.npz")
# The group of a whole model's arrays in Keras 2's arrangement.
WHOLE_MODEL = "model_weights"
HDF5_MAGIC, ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


class Arrays(Protocol):
    """Arrays by their path."""

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        ...

    def read(self, path: str) -> np.ndarray[Any, Any]:
        """The array at a path; raises `KerasFileError` for one that is missing."""
        ...


@dataclass(frozen=True)
class Contents:
    """An open file's `config` (None for one of arrays alone), its `training` config, and its arrays, None for none.

    `version` is that of the Keras that wrote it, as far as the file says it. `by_layer` is set, to the open HDF5 file,
    where the arrays are arranged layer by layer as in Keras 2, in its group `group`.
    """

    config: dict[str, Any] | None
    training: dict[str, Any] | None
    arrays: Arrays | None
    version: str = ""
    by_layer: hdf5.Hdf5Arrays | None = None
    group: str = ""

    @property
    def older(self) -> bool:
        """Whether Keras 2 wrote the file."""
        return self.version.startswith("2.")


@contextmanager
def opened(path: str | os.PathLike[str], max_bytes: int) -> Iterator[Contents]:
    """The contents of a file while it is open; arrays may declare `max_bytes` in all.

    Raises `KerasFileError` for a file that is none of Keras's forms or breaks a limit, and `OSError` for one that
    cannot be opened.
    """
    path = Path(path)
    budget = Budget(max_bytes)
    if path.is_dir():
        names = {entry.name for entry in os.scandir(path) if entry.is_file(follow_symlinks=False)}
        yield _contents(names, lambda name, *rest: _read_file(path / name, *rest), path.name, budget, folder=True)
        return
    with _opened_file(path, follow=True) as file:
        magic = file.read(len(HDF5_MAGIC))
        if magic == HDF5_MAGIC:
            yield _of_hdf5(hdf5.opened(file, path.name, budget), path.name)
        elif magic.startswith(ZIP_MAGIC):
            with zip.opened(file, path.name) as archive:
                found = zip.members(archive, path.name)

                def read(name: str, *rest: Any) -> bytes:
                    return zip.read_member(archive, found[name], f"{name} of {path.name}", *rest)

                yield _contents(set(found), read, path.name, budget)
        elif magic.lstrip().startswith(b"{"):
            size = os.fstat(file.fileno()).st_size
            Budget(CONFIG_BYTES).spend(size, path.name)
            config = parse(magic + file.read(size), path.name)
            yield Contents(config, None, None, _version(config))
        else:
            raise KerasFileError(
                f"{path.name} is neither a .keras archive, an HDF5 file nor a JSON text: it begins with {magic!r}"
            )


def _opened_file(path: Path, *, follow: bool) -> BinaryIO:
    """A file, and nothing that only looks like one; what is opened is what is checked."""
    # Opening a pipe would wait for its other end; not every system has all of the flags.
    flags = [getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_BINARY", "O_CLOEXEC")]
    handle = os.open(path, sum(flags, os.O_RDONLY) | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise KerasFileError(f"{path.name} is not a file")
    return file


def _read_file(path: Path, budget: Budget, extent: zip.Extent = lambda head: None) -> bytes:
    with _opened_file(path, follow=False) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(min(size, zip.FIRST_BYTES))
        said = extent(head)
        size = size if said is None else min(size, said)
        budget.spend(size, path.name)
        return (head + file.read(max(size - len(head), 0)))[:size]


def _of_hdf5(arrays: hdf5.Hdf5Arrays, what: str) -> Contents:
    texts = {name: arrays.text(name) for name in ("model_config", "training_config")}
    version = (arrays.text("keras_version") or b"").decode("utf-8", "replace")
    config, training = (None if t is None else parse(t, f"{name} of {what}") for name, t in texts.items())
    if config is not None or arrays.has_attribute("layer_names"):
        return Contents(config, training, arrays, version, arrays, "" if config is None else WHOLE_MODEL)
    return Contents(config, training, arrays.with_slashes(), version)


def _contents(names: set[str], read: Any, what: str, budget: Budget, folder: bool = False) -> Contents:
    texts, files = ([name for name in sorted(names) if name.endswith(end)] for end in (".json", (".h5", ".hdf5")))
    if folder and CONFIG not in names and len(texts) == len(files) == 1:
        config = parse(read(texts[0], Budget(CONFIG_BYTES)), f"{texts[0]} of {what}")
        data = read(files[0], Budget(budget.limit), hdf5.extent)
        name = f"{files[0]} of {what}"
        found = _of_hdf5(hdf5.opened(data, name, budget), name)
        return replace(found, config=config, version=_version(config) or found.version)
    if CONFIG not in names:
        also = "; a folder of a model in JSON and its arrays has one .json and one .h5" if folder else ""
        raise KerasFileError(f"{what} has no {CONFIG}; a .keras archive has one{also}")
    config = parse(read(CONFIG, Budget(CONFIG_BYTES)), f"{CONFIG} of {what}")
    about = parse(read(METADATA, Budget(CONFIG_BYTES)), f"{METADATA} of {what}") if METADATA in names else {}
    weights = [name for name in WEIGHTS if name in names]
    if not weights:
        raise KerasFileError(f"{what} has neither {' nor '.join(WEIGHTS)}")
    # The packed bytes are held beside the arrays, so both count; the first as their own.
    packed = weights[0].endswith(".npz")
    data = read(weights[0], Budget(budget.limit), *(() if packed else (hdf5.extent,)))
    name = f"{weights[0]} of {what}"
    training = config.get("compile_config")
    training = training if isinstance(training, dict) else None
    arrays = NpzArrays(data, name, budget) if packed else hdf5.opened(data, name, budget).with_slashes()
    return Contents(config, training, arrays, _version(about))


def _version(about: dict[str, Any]) -> str:
    version = about.get("keras_version")
    return version if isinstance(version, str) else ""
