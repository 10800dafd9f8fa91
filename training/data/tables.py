"""Tables of series, `.csv` and `.tsv`: a row for each series, the label first.

The layout is that of the UCR archive. A header and an index column, as pandas writes them, are recognized and left out.
Only the length of the rows shows whether they begin with labels, see `unlabeled`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .parts import Part, label_text

DELIMITERS = {".tsv": "\t", ".csv": ","}
HEADER_WORDS = ("label", "class", "target", "y")
INDEX_WORDS = ("", "index", "id", "unnamed: 0")
MISSING = ("", "?", "nan", "na")
LABELED, UNLABELED = "first", "none"

Row = tuple[int, list[str]]


class _Table(NamedTuple):
    """The rows of series with their line numbers, whether there was a header, and notes about what was left out."""

    rows: list[Row]
    has_header: bool
    notes: tuple[str, ...]


def labeled(path: Path) -> Part:
    """The series of a table whose rows are label, value, value, ...

    Raises `UserError` for a file that is not such a table.
    """
    table = _table(path)
    notes = table.notes
    if not table.has_header and len(table.rows) > 2 and _counts([cells[0] for _, cells in table.rows], (0,)):
        words = "the first column counts the rows from 0 and is read as labels; if it is an index, write the table"
        notes = (*notes, f"{path}: {words} without it")
    labels, series = [], []
    for number, cells in table.rows:
        if len(cells) < 2:
            raise UserError(f"{path}: row {number} has a label and no values; the layout is label, value, value, ...")
        if cells[0].lower() in MISSING:
            raise UserError(f"{path}: row {number} has no label; the layout is label, value, value, ...")
        labels.append(label_text(cells[0]))
        series.append(_values(path, number, cells, 1))
    return Part(_padded(series), labels, notes=notes)


def unlabeled(path: Path, length: int, is_fixed: bool, labels: str | None) -> Part:
    """The series of a table whose rows may begin with a label, which is dropped.

    Args:
        path: the file.
        length: the length of the training series. Without `labels` a row must have as many cells, or one more, which is
            then a label.
        is_fixed: whether all training series have that length; otherwise rows with labels must not begin with numbers.
        labels: `LABELED`, `UNLABELED`, or None.

    Raises:
        UserError: for a file that is not a table, and if it is unknown whether there are labels.
    """
    table = _table(path)
    labels = labels or _whether_labeled(path, table.rows, length, is_fixed)
    begin = int(labels == LABELED)
    for number, cells in table.rows:
        if len(cells) <= begin:
            raise UserError(f"{path}: row {number} has a label and no values; --labels none reads it as a value")
    return Part(_padded([_values(path, *row, begin) for row in table.rows]), [], notes=table.notes)


def _whether_labeled(path: Path, rows: Sequence[Row], length: int, is_fixed: bool) -> str:
    if not is_fixed:
        if all(not _is_value(cells[0]) for _, cells in rows):
            return LABELED
        why = "the training series have several lengths, so whether rows begin with a label is unknown"
        raise UserError(f"{path}: {why}; give --labels first or none")
    sizes = {len(cells) for _, cells in rows}
    for labels, wanted in ((UNLABELED, length), (LABELED, length + 1)):
        if sizes == {wanted}:
            return labels
    found = f"{min(sizes)} to {max(sizes)}" if len(sizes) > 1 else f"{min(sizes)}"
    fits = f"neither {length}, the length of the training series, nor {length + 1}, a label and a series"
    raise UserError(f"{path}: rows have {found} cells, {fits}; --labels first or none reads other lengths")


def _table(path: Path) -> _Table:
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: the file is empty")
    names, first = rows[0][1], [cells[0] for _, cells in rows[1:]]
    has_index = names[0].lower() in INDEX_WORDS and bool(first) and _counts(first, (0, 1))
    if not has_index and not _is_header(names, first):
        return _Table(rows, False, ())
    notes = []
    if _counts(names, (0,)):
        notes.append(f"{path}: the first row, 0, 1, ..., {names[-1]}, is read as a header, not as a series")
    if has_index:
        notes.append(f"{path}: the first column counts the rows; it is read as an index, not as labels")
        rows = [(number, cells[1:] or [""]) for number, cells in rows]
    if not rows[1:]:
        raise UserError(f"{path}: there is a header row and no series")
    return _Table(rows[1:], True, tuple(notes))


def _rows(path: Path) -> list[Row]:
    """The rows that are not blank, with their line numbers; cells are stripped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=DELIMITERS[path.suffix.lower()], strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as a table: {error}") from None
    return [(number, cells) for number, cells in rows if any(cells)]


def _is_header(cells: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether the cells of the first row are names or counts; the other rows begin with `labels`."""
    if cells[0].lower() in HEADER_WORDS or (len(cells) > 1 and not any(_is_value(cell) for cell in cells[1:])):
        return True
    # pandas numbers columns without names. Fewer numbers may be a label and one or two values.
    if len(cells) > 3 and _counts(cells, (0,)):
        return True
    if not _counts(cells[1:], (0, 1)) or _is_number(cells[0]) or cells[0] in labels:
        return False
    # A word followed by counts. It is no label if labels repeat, since it occurs once, or if all labels are numbers.
    return len(set(labels)) < len(labels) or (bool(labels) and all(map(_is_number, labels)))


def _counts(cells: Sequence[str], begins: tuple[int, ...]) -> bool:
    """Whether cells are consecutive integers from one of `begins`."""
    return any(list(cells) == list(map(str, range(begin, begin + len(cells)))) for begin in begins)


def _is_value(cell: str) -> bool:
    return cell.lower() in MISSING or _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _values(path: Path, number: int, cells: Sequence[str], begin: int) -> list[float]:
    for column, cell in enumerate(cells[begin:], start=begin + 1):
        if not _is_value(cell):
            raise UserError(f"{path}: row {number}, column {column} is not a number: {cell!r}")
    return [math.nan if cell.lower() in MISSING else float(cell) for cell in cells[begin:]]


def _padded(series: Sequence[list[float]]) -> np.ndarray:
    """The series as (n, longest, 1), with NaN after the end of shorter ones."""
    longest = max(map(len, series))
    return np.array([values + [math.nan] * (longest - len(values)) for values in series])[:, :, None]
