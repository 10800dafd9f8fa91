"""Input arrays from files, and checks of output paths."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from .errors import UserError
from .model_file import ModelFile, format_shape

Array = np.ndarray[Any, Any]
# By the version of the .npy format. Version 3.0 is only for structured arrays whose field names are not Latin-1.
HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_inputs(path: Path, file: ModelFile, max_bytes: int) -> dict[str, Array]:
    """The array of each input by name, in the type of the file; a `.npy` file is mapped into memory.

    `max_bytes` limits the total size of the arrays of a `.npz` file. Raises `UserError` for a file that is damaged or
    too large, for names and shapes other than the model's, and for arrays that are not real numbers.
    """
    content: Any = _load(path, max_bytes)
    names = file.model.inputs
    if not isinstance(content, dict):
        if len(names) > 1:
            raise UserError(
                f"{path.name} is a single array; the model has inputs {', '.join(names)}: provide a .npz with these"
            )
        content = dict.fromkeys(names, content)
    elif set(content) != set(names):
        raise UserError(
            f"{path.name} has arrays {', '.join(sorted(content)) or 'none'}; the model's inputs are {', '.join(names)}"
        )
    arrays: dict[str, Array] = {name: content[name] for name in names}
    for name, array in arrays.items():
        what = path.name if len(arrays) == 1 else f"{name} in {path.name}"
        _check(what, array, file.shapes[name], file.dtypes[name])
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"{path.name}: all inputs must have the same number of examples, got {counts}")
    if not all(counts.values()):
        raise UserError(f"{path.name} has no examples")
    return arrays


def cast_input(array: Array, name: str, dtype: Any) -> Array:
    """Convert an array to the type of a model's input, int32 or float32.

    Raises `UserError`, with the `name` of the input, for integers of more than 32 bits.
    """
    limits = np.iinfo(np.int32)
    if dtype is np.int32 and array.size and (array.max() > limits.max or array.min() < limits.min):
        raise UserError(f"{name} has integers of more than 32 bits")
    return np.asarray(array, dtype)


def _load(path: Path, max_bytes: int) -> Any:
    """The array of a `.npy` file, mapped into memory, or a dict of the arrays of a `.npz` file."""
    try:
        with path.open("rb") as file:
            magic = file.read(6)
            if magic.startswith(b"PK"):
                size = _declared_bytes(file)
                if size > max_bytes:
                    raise UserError(
                        f"{path.name}: its arrays declare {size:,} bytes, more than the {max_bytes:,} of --max-bytes"
                    )
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    return {name: archive[name] for name in archive.files}
        if magic == b"\x93NUMPY":
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError:
        raise
    # zipfile raises NotImplementedError for an unknown compression.
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path.name} cannot be read: {str(error).partition(chr(10))[0]}") from None
    raise UserError(f"{path.name} is neither a .npy nor a .npz file")


def _declared_bytes(file: BinaryIO) -> int:
    """The size in memory of the arrays of a `.npz` file, which may be much larger than the file."""
    total = 0
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                version = npy.read_magic(member)
                if version not in HEADER_READERS:
                    raise ValueError(f"{info.filename} has a header of version {version}, for structured arrays only")
                shape, _, dtype = HEADER_READERS[version](member)
            total += max(info.file_size, math.prod(shape) * dtype.itemsize)
    return total


def _check(what: str, array: Array, shape: tuple[int | None, ...], dtype: Any) -> None:
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what} must contain real numbers, got {array.dtype}")
    if dtype is np.int32 and array.dtype.kind == "f":
        raise UserError(f"{what} must contain integers, for an embedding, got {array.dtype}")
    message = f"{what} has shape {array.shape}, the model takes {format_shape(shape, 'examples')}"
    if _fits(array.shape, shape):
        raise UserError(f"{message}; for one example write x[None]")
    if array.ndim != len(shape) + 1 or not _fits(array.shape[1:], shape):
        raise UserError(message)


def _fits(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(sizes) == len(shape) and all(
        expected in (size, None) for size, expected in zip(sizes, shape, strict=True)
    )


def check_output(output: Path, inputs: Mapping[str, Path]) -> None:
    """Before any computation, raise `UserError` if `output` cannot be written or is one of the `inputs`."""
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}")
    if output.is_dir():
        raise UserError(f"{output} is a folder")
    for name, path in inputs.items():
        if output.exists() and path.exists() and output.samefile(path):
            raise UserError(f"{output} is the {name}, which would be overwritten")
