"""Files of series to plain arrays: what each format looks like, and what can be wrong with one.

Tables (`.tsv`, `.csv`) are read by `tables.py`. `.npz` files hold `x_train`, `y_train` and, if there is a test set,
`x_test` and `y_test`; `.npy` files are these arrays one by one. `.ts` and `.arff` files are read by aeon. Whatever
cannot be read is a `UserError` that names the file and the place. What the values must be is checked in `datasets.py`,
once for all formats.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import archives, tables
from .parts import Array, Part, plain

ARRAYS = (".npz", ".npy")


def read(path: Path, channels_first: bool = False) -> tuple[Part, Part | None]:
    """The training part and, if there is one, the test part of a file.

    A file named `..._TRAIN` has its test part in `..._TEST` beside it, if that exists. With `channels_first` arrays are
    (n, channels, length) in the file.

    Raises `UserError` for a missing or unreadable file, an unsupported suffix, and content that is no set of series.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file in it")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        kind = f"a file ending in {suffix}" if suffix else "a file without a suffix"
        raise UserError(f"{path}: cannot read {kind}; use one of {', '.join(READERS)}")
    with _readable(path):
        if suffix in ARRAYS:
            return (_read_npz if suffix == ".npz" else _read_npy)(path, channels_first)
        check_channels_first(str(path), channels_first)
        return READERS[suffix](path)


def check_channels_first(source: str, channels_first: bool) -> None:
    """Raise `UserError` where data that are no arrays are to be read with their channels first."""
    if channels_first:
        raise UserError(f"{source}: --channels first is for arrays, files that end in {' or '.join(ARRAYS)}")


def array(path: Path, channels_first: bool = False) -> Array:
    """The series (n, length, channels) of a `.npy` file by themselves, float64, NaN behind shorter ones.

    With `channels_first` they are (n, channels, length) in the file. Raises `UserError` for a missing or unreadable
    file, and content that is no set of series.
    """
    with _readable(path):
        return _series(str(path), _loaded(path), "the array", channels_first)


def unlabeled(path: Path, length: int, is_fixed: bool, labels: str | None) -> Part:
    """The series of a table, of its test part where it has one, as `tables.unlabeled` reads them."""
    other = _test_of(path)
    with _readable(path):
        return tables.unlabeled(path if other is None else other, length, is_fixed, labels)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _test_of(path: Path) -> Path | None:
    """The file of the test part beside that of a training part, if there is one."""
    if not path.stem.endswith("_TRAIN"):
        return None
    other = path.with_name(path.stem.removesuffix("_TRAIN") + "_TEST" + path.suffix)
    return other if other.exists() else None


def _with_test(read_one: Callable[[Path], Part]) -> Callable[[Path], tuple[Part, Part | None]]:
    def read_both(path: Path) -> tuple[Part, Part | None]:
        other = _test_of(path)
        return read_one(path), None if other is None else read_one(other)

    return read_both


def _read_npz(path: Path, channels_first: bool = False) -> tuple[Part, Part | None]:
    arrays = _npz_arrays(path)
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise UserError(f"{path}: there is no {name}; the file holds {', '.join(arrays) or 'nothing'}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        there, missing = ("x_test", "y_test") if "x_test" in arrays else ("y_test", "x_test")
        raise UserError(f"{path}: there is {there} and no {missing}; a test set needs both")
    parts = ["train", *(["test"] if "x_test" in arrays else [])]
    train, *test = (
        part_of(str(path), arrays[f"x_{part}"], arrays[f"y_{part}"], part, channels_first) for part in parts
    )
    return train, test[0] if test else None


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


def part_of(path: str, x: Array, y: Array, part: str, channels_first: bool) -> Part:
    """The training or test part that two arrays are, which are named in errors after `path` and `part`.

    Raises `UserError` for arrays of another kind or shape.
    """
    x_name, y_name = f"x_{part}", f"y_{part}"
    series = _series(path, x, x_name, channels_first)
    sizes, notes = series.shape[:2], _notes(path, series, x_name, channels_first)
    if y.shape != sizes[:1] and y.shape != sizes:
        if y.ndim == 1:
            raise UserError(f"{path}: {x_name} has {len(x)} series and {y_name} {len(y)} labels")
        raise UserError(
            f"{path}: {y_name} must be (n,), a label a series, or {sizes}, a label a sample, got shape {y.shape}"
        )
    if y.dtype.kind not in "biufUS":
        raise UserError(f"{path}: {y_name} must hold numbers or text, got {y.dtype}")
    there = np.ones(len(x), bool) if y.ndim == 1 else ~np.isnan(series).all(-1)
    labels = y[there]
    if y.dtype.kind == "f" and not np.isfinite(labels).all():
        raise UserError(f"{path}: {y_name} must hold finite numbers or text, got {labels[~np.isfinite(labels)][0]}")
    if y.ndim == 1:
        return Part(series, _texts(labels), notes=notes)
    if y.dtype.kind == "f" and (labels != np.round(labels)).any():
        raise UserError(f"{path}: {y_name} has a label a sample, which must be a class: whole numbers or text")
    found, numbers = np.unique(labels, return_inverse=True)
    of_samples = np.full(y.shape, -1, np.int32)
    of_samples[there] = numbers
    return Part(series, _texts(found), of_samples, notes)


def _notes(path: str, series: Array, name: str, channels_first: bool) -> tuple[str, ...]:
    """A line where more channels than samples say that an array may be (n, channels, length)."""
    _, length, channels = series.shape
    if channels_first or channels <= length:
        return ()
    words = f"{path}: {name} has series of {length} samples and {channels} channels, read as (n, length, channels)"
    return (f"{words}; --channels first reads (n, channels, length)",)


def _series(path: str, x: Array, name: str, channels_first: bool) -> Array:
    if x.ndim not in (2, 3):
        three = "(n, channels, length)" if channels_first else "(n, length, channels)"
        raise UserError(f"{path}: {name} must be (n, length) or {three}, got shape {x.shape}")
    if x.dtype.kind not in "iuf":
        raise UserError(f"{path}: {name} must hold real numbers, got {x.dtype}")
    if x.size == 0:
        raise UserError(f"{path}: {name} is empty, its shape is {x.shape}")
    x = x.astype(np.float64)
    return (x.swapaxes(1, 2) if channels_first else x) if x.ndim == 3 else x[:, :, None]


def _texts(labels: Array) -> list[str]:
    texts = labels.astype(str) if labels.dtype.kind != "S" else np.char.decode(labels, "utf-8", "replace")
    return [plain(text) for text in texts]


def _read_npy(path: Path, channels_first: bool = False) -> tuple[Part, Part | None]:
    if "x_train" not in path.name:
        raise UserError(f"{path}: is an array without labels; name it ...x_train.npy, with ...y_train.npy beside it")
    if not _beside(path, "y_train").exists():
        raise UserError(f"{path}: there is no {_beside(path, 'y_train').name} beside it, with the labels")
    tests = [_beside(path, name) for name in ("x_test", "y_test")]
    if tests[0].exists() != tests[1].exists():
        there, missing = tests if tests[0].exists() else tests[::-1]
        raise UserError(f"{path}: there is {there.name} and no {missing.name}; a test set needs both")
    parts = ["train", *(["test"] if tests[0].exists() else [])]
    loaded = {name: _loaded(_beside(path, name)) for part in parts for name in (f"x_{part}", f"y_{part}")}
    train, *test = (
        part_of(str(path), loaded[f"x_{part}"], loaded[f"y_{part}"], part, channels_first) for part in parts
    )
    return train, test[0] if test else None


def _beside(path: Path, name: str) -> Path:
    return path.with_name(path.name.replace("x_train", name))


def _loaded(file: Path) -> Array:
    try:
        found = np.load(file, allow_pickle=False)
    except (ValueError, EOFError):
        found = None
    if not isinstance(found, np.ndarray):
        raise UserError(f"{file}: is no NumPy .npy file of numbers or text")
    return found


def _by_aeon(function: str) -> Callable[[Path], Part]:
    def read_one(path: Path) -> Part:
        try:
            import aeon.datasets
        except ImportError:
            raise UserError(f"{path}: {archives.EXTRA}") from None
        try:
            series, labels = getattr(aeon.datasets, function)(str(path))
            x = archives.pad_series(series)
        except OSError:
            raise
        except Exception as error:
            # aeon's readers check little; a file that is none ends in one of many errors of Python's.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path}: cannot be read as {path.suffix} by aeon: {reason}") from None
        if len(labels) != len(x):
            raise UserError(f"{path}: has {len(x)} series and {len(labels)} labels")
        return Part(x, [plain(label) for label in labels])

    return read_one


READERS: dict[str, Callable[[Path], tuple[Part, Part | None]]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".tsv": _with_test(tables.labeled),
    ".csv": _with_test(tables.labeled),
    ".ts": _with_test(_by_aeon("load_from_ts_file")),
    ".arff": _with_test(_by_aeon("load_from_arff_file")),
}
