"""Arrays from files, as the model reads them, and to files that are whole or not there."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from ..keras.read.file import MAX_BYTES
from .errors import UserError
from .opened import Opened, shown, whole_numbers

Array = np.ndarray[Any, Any]
MOST = 2**31


def read_inputs(path: Path, found: Opened, max_bytes: int | None = None) -> dict[str, Array]:
    """The array of each input by its name, as it is in the file; a `.npy` is not read before it is used.

    A `.npz` file's arrays may need `max_bytes`, by default 4 GiB. Raises `UserError` for a file that is none or needs
    more, names or shapes that are not the model's, and values of another kind.
    """
    given: Any = _loaded(path, MAX_BYTES if max_bytes is None else max_bytes)
    model, _, _, shapes = found
    if not isinstance(given, dict):
        if len(model.inputs) > 1:
            wants = ", ".join(model.inputs)
            raise UserError(f"{path.name} is one array; the model has inputs {wants}: give a .npz with these")
        given = {name: given for name in model.inputs}
    elif set(given) != set(model.inputs):
        has, wants = ", ".join(sorted(given)) or "none", ", ".join(model.inputs)
        raise UserError(f"{path.name} has arrays {has}; the model's inputs are {wants}")
    arrays: dict[str, Array] = {name: given[name] for name in model.inputs}
    whole = whole_numbers(model)
    for name, array in arrays.items():
        _check(path.name if len(arrays) == 1 else f"{name} in {path.name}", array, shapes[name], name in whole)
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise UserError(f"{path.name}: inputs must have as many examples as each other, got {sizes}")
    if not all(sizes.values()):
        raise UserError(f"{path.name} has no examples")
    return arrays


def as_read(array: Array, what: str, whole: bool) -> Array:
    """A part of an input in the type that the model reads: int32 for one of whole numbers, else float32.

    Raises `UserError` for whole numbers beyond 32 bits.
    """
    if not whole:
        return np.asarray(array, np.float32)
    if array.size and (array.max() >= MOST or array.min() < -MOST):
        raise UserError(f"{what} has whole numbers beyond 32 bits")
    return np.asarray(array, np.int32)


def _loaded(path: Path, max_bytes: int) -> Any:
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if magic.startswith(b"PK"):
            with path.open("rb") as file:
                size = _declared_bytes(file)
            if size > max_bytes:
                words = f"its arrays declare {size:,} bytes, more than the {max_bytes:,} of --max-bytes"
                raise UserError(f"{path.name}: {words}")
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if magic == b"\x93NUMPY":
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError:
        raise
    # The last for a compression that zipfile does not have.
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path.name} cannot be read: {str(error).partition(chr(10))[0]}") from None
    raise UserError(f"{path.name} is neither a .npy nor a .npz file")


def _declared_bytes(file: BinaryIO) -> int:
    """What the arrays of a `.npz` file need when they are read: few bytes of the file may declare many."""
    total = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            size = member.file_size
            with archive.open(member) as opened:
                version = npy.read_magic(opened)
                header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
                if header is not None:
                    shape, _, dtype = header(opened)
                    size = max(size, math.prod(shape) * dtype.itemsize)
            total += size
    return total


def _check(what: str, array: Array, shape: tuple[int | None, ...], whole: bool) -> None:
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what} must hold real numbers, got {array.dtype}")
    if whole and array.dtype.kind == "f":
        raise UserError(f"{what} must hold whole numbers, which an embedding reads, got {array.dtype}")
    wanted = shown({"": shape}, "examples").strip()
    if _fits(array.shape, shape):
        raise UserError(f"{what} has shape {array.shape}, the model takes {wanted}; for one example write x[None]")
    if array.ndim != len(shape) + 1 or not _fits(array.shape[1:], shape):
        raise UserError(f"{what} has shape {array.shape}, the model takes {wanted}")


def _fits(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(sizes) == len(shape) and all(b in (a, None) for a, b in zip(sizes, shape, strict=True))


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A folder for parts of a file on the same disk, gone afterwards; an `os.replace` from it makes the file."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        # It is not the folder that the user knows of.
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there."""
    with beside(path) as folder:
        (folder / "part").write_bytes(content)
        os.replace(folder / "part", path)


def check_place(output: Path, others: Mapping[str, Path]) -> None:
    """Raise `UserError` where a file cannot be written or is one of those that are read, before there is any work."""
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}")
    if output.is_dir():
        raise UserError(f"{output} is a folder")
    for name, other in others.items():
        if output.exists() and other.exists() and output.samefile(other):
            raise UserError(f"{output} is the {name}, which would be overwritten")
