"""Reads series from each file format.

`tables.py` reads tables (`.tsv`, `.csv`). `.npz` files contain `x_train`, `y_train` and, if there is a test set,
`x_test` and `y_test`; `.npy` files contain one of these arrays each. aeon reads `.ts` and `.arff` files. If
content cannot be read, a `UserError` names the file and the place. `datasets.py` checks the values of all formats.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..errors import UserError
from . import archives, tables
from .parts import DataPart, label_text, pad_series


def read(path: Path, channels_first: bool = False) -> list[DataPart]:
    """The training part and, if there is one, the test part of a data set.

    The test part of a file named `..._TRAIN` is the file `..._TEST` in the same folder, if that exists. With
    `channels_first`, arrays in the file are (n, channels, length).

    Raises `UserError` for a missing or unreadable file, an unsupported suffix, and content that is not a data set.
    """
    # Unlike `Path.exists`, False for a name that is too long for the file system.
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file")
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file in it")
    suffix = path.suffix.lower()
    if suffix not in (*ARRAYS, *FILES):
        kind = f"a file ending in {suffix}" if suffix else "a file without a suffix"
        raise UserError(f"{path}: cannot read {kind}; use one of {', '.join((*ARRAYS, *FILES))}")
    with _readable(path):
        if suffix in ARRAYS:
            return ARRAYS[suffix](path, channels_first)
        check_channels_first(str(path), channels_first)
        return [FILES[suffix](file) for file in _files(path)]


def check_channels_first(source: str, channels_first: bool) -> None:
    """Raise `UserError` if `channels_first` is given for data that are not arrays."""
    if channels_first:
        raise UserError(f"{source}: --channels first is for arrays: files that end in {' or '.join(ARRAYS)}")


def array(path: Path, channels_first: bool = False) -> Array:
    """The series (n, length, channels) float64 of a `.npy` file without labels.

    With `channels_first`, they are (n, channels, length) in the file. Raises `UserError` for a missing or unreadable
    file, and for other content.
    """
    with _readable(path):
        return _series(str(path), _loaded(path), "the array", channels_first)


def unlabeled(path: Path, length: int, is_fixed: bool, labels: str | None, has_classes: bool) -> DataPart:
    """The series of a table, or of its test part if there is one; see `tables.unlabeled`."""
    with _readable(path):
        return tables.unlabeled(_files(path)[-1], length, is_fixed, labels, has_classes)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _files(path: Path) -> list[Path]:
    """The file of the training part and, if it exists, the file of the test part."""
    test = path.with_name(path.stem.removesuffix("_TRAIN") + "_TEST" + path.suffix)
    return [path, test] if path.stem.endswith("_TRAIN") and test.exists() else [path]


def _read_npz(path: Path, channels_first: bool) -> list[DataPart]:
    arrays = _npz_arrays(path)
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise UserError(f"{path}: there is no {name}; the file contains {', '.join(arrays) or 'nothing'}")
    _check_test(path, "x_test", "y_test", arrays)
    return parts_of(str(path), arrays, channels_first)


def _check_test(path: Path, x: str, y: str, found: Container[str]) -> None:
    """Raise `UserError` if only one of the names of the arrays of a test set was found."""
    if (x in found) != (y in found):
        present, missing = (x, y) if x in found else (y, x)
        raise UserError(f"{path}: there is {present} and no {missing}; a test set needs both")


def _npz_arrays(path: Path) -> dict[str, Array]:
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    try:
        file = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path}: is not a NumPy .npz file") from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: is a single array; save several with numpy.savez(path, x_train=..., y_train=...)")
    arrays = {}
    with file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except (ValueError, EOFError, zipfile.BadZipFile):
                raise UserError(
                    f"{path}: {name} is an array of Python objects or damaged; save numbers, or text as a str array"
                ) from None
    return arrays


def parts_of(path: str, arrays: Mapping[str, Array], channels_first: bool) -> list[DataPart]:
    """The training part and, if there is one, the test part of arrays by name; errors name `path`.

    Raises `UserError` for arrays of an unsupported type or shape.
    """
    names = [(f"x_{part}", f"y_{part}") for part in ("train", "test") if f"x_{part}" in arrays]
    return [_part_of(path, x, arrays[x], y, arrays[y], channels_first) for x, y in names]


def _part_of(path: str, x_name: str, x: Array, y_name: str, y: Array, channels_first: bool) -> DataPart:
    series = _series(path, x, x_name, channels_first)
    sizes, notes = series.shape[:2], _notes(path, series, x_name, channels_first)
    if y.shape != sizes[:1] and y.shape != sizes:
        if y.ndim == 1:
            raise UserError(f"{path}: {x_name} has {len(x)} series and {y_name} {len(y)} labels")
        wanted = f"(n,), one label per series, or {sizes}, one label per sample"
        raise UserError(f"{path}: {y_name} must be {wanted}, got shape {y.shape}")
    if y.dtype.kind not in "biufUS":
        raise UserError(f"{path}: {y_name} must contain numbers or text, got {y.dtype}")
    inside = np.ones(len(x), bool) if y.ndim == 1 else ~np.isnan(series).all(-1)
    labels = y[inside]
    if y.dtype.kind == "f" and not np.isfinite(labels).all():
        raise UserError(f"{path}: {y_name} must contain finite numbers or text, got {labels[~np.isfinite(labels)][0]}")
    if y.ndim == 1:
        return DataPart(series, _texts(labels), notes=notes)
    if y.dtype.kind == "f" and (labels != np.round(labels)).any():
        raise UserError(f"{path}: {y_name} has one label per sample, which must be a class: a whole number or text")
    distinct, numbers = np.unique(labels, return_inverse=True)
    sample_labels = np.full(y.shape, -1, np.int32)
    sample_labels[inside] = numbers
    return DataPart(series, _texts(distinct), sample_labels, notes)


def _notes(path: str, series: Array, name: str, channels_first: bool) -> tuple[str, ...]:
    """A note if there are more channels than samples, because the array may then be (n, channels, length)."""
    _, length, channels = series.shape
    if channels_first or channels <= length:
        return ()
    samples = f"{length} sample{'s' if length > 1 else ''}"
    found = f"{path}: {name} has series of {samples} and {channels} channels, read as (n, length, channels)"
    return (f"{found}; --channels first reads (n, channels, length)",)


def _series(path: str, x: Array, name: str, channels_first: bool) -> Array:
    if x.ndim not in (2, 3):
        layout = "(n, channels, length)" if channels_first else "(n, length, channels)"
        raise UserError(f"{path}: {name} must be (n, length) or {layout}, got shape {x.shape}")
    if x.dtype.kind not in "iuf":
        raise UserError(f"{path}: {name} must contain real numbers, got {x.dtype}")
    if x.size == 0:
        raise UserError(f"{path}: {name} is empty, its shape is {x.shape}")
    x = x.astype(np.float64)
    return (x.swapaxes(1, 2) if channels_first else x) if x.ndim == 3 else x[:, :, None]


def _texts(labels: Array) -> list[str]:
    texts = labels.astype(str) if labels.dtype.kind != "S" else np.char.decode(labels, "utf-8", "replace")
    return [label_text(text) for text in texts]


def _read_npy(path: Path, channels_first: bool) -> list[DataPart]:
    if "x_train" not in path.name:
        raise UserError(f"{path}: is an array without labels; name it ...x_train.npy, with ...y_train.npy beside it")
    names = ("x_train", "y_train", "x_test", "y_test")
    files = {name: path.with_name(path.name.replace("x_train", name)) for name in names}
    found = {name: file for name, file in files.items() if file.exists()}
    if "y_train" not in found:
        raise UserError(f"{path}: there is no {files['y_train'].name} beside it, with the labels")
    _check_test(path, files["x_test"].name, files["y_test"].name, [file.name for file in found.values()])
    return parts_of(str(path), {name: _loaded(file) for name, file in found.items()}, channels_first)


def _loaded(file: Path) -> Array:
    try:
        found = np.load(file, allow_pickle=False)
    except (ValueError, EOFError):
        found = None
    if not isinstance(found, np.ndarray):
        raise UserError(f"{file}: is not a NumPy .npy file of numbers or text")
    return found


def _by_aeon(function: str) -> Callable[[Path], DataPart]:
    def read_one(path: Path) -> DataPart:
        try:
            import aeon.datasets
        except ImportError:
            raise UserError(f"{path}: {archives.EXTRA}") from None
        try:
            series, labels = getattr(aeon.datasets, function)(str(path))
            x = pad_series([one.T for one in series])
        except OSError:
            raise
        except Exception as error:
            # aeon's readers check little, so a file in another format can raise any exception.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path}: cannot be read as {path.suffix} by aeon: {reason}") from None
        if len(labels) != len(x):
            raise UserError(f"{path}: has {len(x)} series and {len(labels)} labels")
        return DataPart(x, [label_text(label) for label in labels])

    return read_one


ARRAYS: dict[str, Callable[[Path, bool], list[DataPart]]] = {".npz": _read_npz, ".npy": _read_npy}
FILES: dict[str, Callable[[Path], DataPart]] = {
    ".tsv": tables.labeled,
    ".csv": tables.labeled,
    ".ts": _by_aeon("load_from_ts_file"),
    ".arff": _by_aeon("load_from_arff_file"),
}
