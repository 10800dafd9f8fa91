"""Files of series to plain arrays: what each format looks like, and what can be wrong with one.

Tables (`.tsv`, `.csv`) are in the layout of the UCR archive: a row a series, its label first. `.npz` files hold
`x_train`, `y_train` and, if there is a test set, `x_test` and `y_test`; `.npy` files are these arrays one by one.
`.ts` and `.arff` files are read by aeon. Whatever cannot be read is a `UserError` that names the file and the place.
What the values must be is checked in `datasets.py`, once for all formats.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from . import archives

Array = np.ndarray[Any, Any]

DELIMITERS = {".tsv": "\t", ".csv": ","}
HEADER_WORDS = ("label", "class", "target", "y")
MISSING = ("", "?", "nan", "na")


class Part(NamedTuple):
    """Series as they lie in a file: `x` (n, length, channels) float64, NaN behind shorter ones, and labels as text.

    Where each sample has one, `labels` are all that there are, and `of_samples` (n, length) numbers in them, -1 behind
    shorter series.
    """

    x: Array
    labels: list[str]
    of_samples: Array | None = None


def read(path: Path) -> tuple[Part, Part | None]:
    """The training part and, if there is one, the test part of a file.

    A file named `..._TRAIN` has its test part in `..._TEST` beside it, if that exists.

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
    try:
        return READERS[suffix](path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def array(path: Path) -> Array:
    """The series (n, length, channels) of a `.npy` file by themselves, float64, NaN behind shorter ones.

    Raises `UserError` for a missing or unreadable file, and content that is no set of series.
    """
    try:
        return _series(str(path), _loaded(path), "the array")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _with_test(read_one: Callable[[Path], Part]) -> Callable[[Path], tuple[Part, Part | None]]:
    def read_both(path: Path) -> tuple[Part, Part | None]:
        train = read_one(path)
        if not path.stem.endswith("_TRAIN"):
            return train, None
        other = path.with_name(path.stem.removesuffix("_TRAIN") + "_TEST" + path.suffix)
        return train, read_one(other) if other.exists() else None

    return read_both


def _read_table(path: Path) -> Part:
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: the file is empty")
    if _is_header(rows[0][1], [cells[0] for _, cells in rows[1:]]):
        del rows[0]
        if not rows:
            raise UserError(f"{path}: there is a header row and no series")
    labels, series = [], []
    for number, cells in rows:
        if len(cells) < 2:
            raise UserError(f"{path}: row {number} has a label and no values; the layout is label, value, value, ...")
        if cells[0].lower() in MISSING:
            raise UserError(f"{path}: row {number} has no label; the layout is label, value, value, ...")
        labels.append(_plain(cells[0]))
        series.append(_values(path, number, cells))
    longest = max(map(len, series))
    behind = [values + [math.nan] * (longest - len(values)) for values in series]
    return Part(np.array(behind)[:, :, None], labels)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, stripped, each with its line number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=DELIMITERS[path.suffix.lower()], strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as a table: {error}") from None
    return [(number, cells) for number, cells in rows if any(cells)]


def _is_header(cells: list[str], labels: list[str]) -> bool:
    """Whether a first row has names, before rows with labels."""
    if cells[0].lower() in HEADER_WORDS or (len(cells) > 1 and not any(_is_value(cell) for cell in cells[1:])):
        return True
    # Samples that are only counted, over a word that is nobody's label where others have theirs in common.
    counted = cells[1:] in (list(map(str, range(first, first + len(cells) - 1))) for first in (0, 1))
    return counted and not _is_number(cells[0]) and cells[0] not in labels and len(set(labels)) < len(labels)


def _is_value(cell: str) -> bool:
    return cell.lower() in MISSING or _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _values(path: Path, number: int, cells: list[str]) -> list[float]:
    for column, cell in enumerate(cells[1:], start=2):
        if not _is_value(cell):
            raise UserError(f"{path}: row {number}, column {column} is not a number: {cell!r}")
    return [float("nan") if cell.lower() in MISSING else float(cell) for cell in cells[1:]]


def _plain(label: Any) -> str:
    """A label as text; a whole number without its fraction, since archives write class 1 as 1, 1.0 or 1.0e+00."""
    text = str(label)
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _read_npz(path: Path) -> tuple[Part, Part | None]:
    arrays = _npz_arrays(path)
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise UserError(f"{path}: there is no {name}; the file holds {', '.join(arrays) or 'nothing'}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        there, missing = ("x_test", "y_test") if "x_test" in arrays else ("y_test", "x_test")
        raise UserError(f"{path}: there is {there} and no {missing}; a test set needs both")
    train = _npz_part(path, arrays, "train")
    return train, _npz_part(path, arrays, "test") if "x_test" in arrays else None


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


def _npz_part(path: Path, arrays: dict[str, Array], part: str) -> Part:
    return _part(str(path), arrays[f"x_{part}"], arrays[f"y_{part}"], f"x_{part}", f"y_{part}")


def _part(path: str, x: Array, y: Array, x_name: str, y_name: str) -> Part:
    series = _series(path, x, x_name)
    if y.shape != x.shape[:1] and y.shape != x.shape[:2]:
        if y.ndim == 1:
            raise UserError(f"{path}: {x_name} has {len(x)} series and {y_name} {len(y)} labels")
        raise UserError(
            f"{path}: {y_name} must be (n,), a label a series, or {x.shape[:2]}, a label a sample, got shape {y.shape}"
        )
    if y.dtype.kind not in "biufUS":
        raise UserError(f"{path}: {y_name} must hold numbers or text, got {y.dtype}")
    there = np.ones(len(x), bool) if y.ndim == 1 else ~np.isnan(series).all(-1)
    labels = y[there]
    if y.dtype.kind == "f" and not np.isfinite(labels).all():
        raise UserError(f"{path}: {y_name} must hold finite numbers or text, got {labels[~np.isfinite(labels)][0]}")
    if y.ndim == 1:
        return Part(series, _texts(labels))
    if y.dtype.kind == "f" and (labels != np.round(labels)).any():
        raise UserError(f"{path}: {y_name} has a label a sample, which must be a class: whole numbers or text")
    found, numbers = np.unique(labels, return_inverse=True)
    of_samples = np.full(y.shape, -1, np.int32)
    of_samples[there] = numbers
    return Part(series, _texts(found), of_samples)


def _series(path: str, x: Array, name: str) -> Array:
    if x.ndim not in (2, 3):
        raise UserError(f"{path}: {name} must be (n, length) or (n, length, channels), got shape {x.shape}")
    if x.dtype.kind not in "iuf":
        raise UserError(f"{path}: {name} must hold real numbers, got {x.dtype}")
    if x.size == 0:
        raise UserError(f"{path}: {name} is empty, its shape is {x.shape}")
    return x.astype(np.float64).reshape(*x.shape[:2], -1)


def _texts(labels: Array) -> list[str]:
    texts = labels.astype(str) if labels.dtype.kind != "S" else np.char.decode(labels, "utf-8", "replace")
    return [_plain(text) for text in texts]


def _read_npy(path: Path) -> tuple[Part, Part | None]:
    if "x_train" not in path.name:
        raise UserError(f"{path}: is an array without labels; name it ...x_train.npy, with ...y_train.npy beside it")
    if not _beside(path, "y_train").exists():
        raise UserError(f"{path}: there is no {_beside(path, 'y_train').name} beside it, with the labels")
    tests = [_beside(path, name) for name in ("x_test", "y_test")]
    if tests[0].exists() != tests[1].exists():
        there, missing = tests if tests[0].exists() else tests[::-1]
        raise UserError(f"{path}: there is {there.name} and no {missing.name}; a test set needs both")
    train = _npy_part(path, "train")
    return train, _npy_part(path, "test") if tests[0].exists() else None


def _beside(path: Path, name: str) -> Path:
    return path.with_name(path.name.replace("x_train", name))


def _npy_part(path: Path, part: str) -> Part:
    x, y = (_loaded(_beside(path, f"{name}_{part}")) for name in "xy")
    return _part(str(path), x, y, f"x_{part}", f"y_{part}")


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
            x = archives.behind(series)
        except OSError:
            raise
        except Exception as error:
            # aeon's readers check little; a file that is none ends in one of many errors of Python's.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path}: cannot be read as {path.suffix} by aeon: {reason}") from None
        if len(labels) != len(x):
            raise UserError(f"{path}: has {len(x)} series and {len(labels)} labels")
        return Part(x, [_plain(label) for label in labels])

    return read_one


READERS: dict[str, Callable[[Path], tuple[Part, Part | None]]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".tsv": _with_test(_read_table),
    ".csv": _with_test(_read_table),
    ".ts": _with_test(_by_aeon("load_from_ts_file")),
    ".arff": _with_test(_by_aeon("load_from_arff_file")),
}
