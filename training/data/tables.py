"""Tables of series, `.csv` and `.tsv`: a row for each series, the label first.

The layout is the UCR archive's. A header and an index column, as pandas writes them, are recognized and left out,
and semicolons or tabs between the cells are accepted. If labels may be missing, only the length of the rows shows
whether they begin with labels; see `unlabeled`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import UserError
from .parts import DataPart, label_text, pad_series

DELIMITERS = {".tsv": "\t", ".csv": ","}
HEADER_WORDS = ("label", "class", "target", "y")
INDEX_WORDS = ("", "index", "id", "unnamed: 0")
MISSING = ("", "?", "nan", "na")
LABELED, UNLABELED = "first", "none"

# A row of at least this many numbers in equal steps is column names; a shorter one may be a series.
MIN_COUNTED_COLUMNS = 8

Row = tuple[int, list[str]]


class _Table(NamedTuple):
    """The rows of series with their line numbers, the cells of the header, and notes about what was left out."""

    rows: list[Row]
    header: list[str] | None
    notes: tuple[str, ...]


def labeled(path: Path) -> DataPart:
    """The series of a table whose rows are label, value, value, ...

    Raises `UserError` for a file that is not such a table.
    """
    table = _table(path)
    notes = table.notes
    if table.header is None and len(table.rows) > 2 and _are_counts([cells[0] for _, cells in table.rows]):
        words = "the first column counts the rows and is read as labels; if it is an index, write the table"
        notes = (*notes, f"{path}: {words} without it")
    if all(_has_its_label_last(cells) for _, cells in table.rows):
        last = table.rows[0][1][-1]
        raise UserError(f"{path}: the last column has text, as {last!r}; labels must be in the first column")
    labels, series = [], []
    for number, cells in table.rows:
        if len(cells) < 2:
            raise UserError(f"{path}: row {number} has a label and no values; the layout is label, value, value, ...")
        if cells[0].lower() in MISSING:
            raise UserError(f"{path}: row {number} has no label; the layout is label, value, value, ...")
        labels.append(label_text(cells[0]))
        series.append(_values(path, number, cells, 1))
    return DataPart(pad_series(series), labels, notes=notes)


def unlabeled(path: Path, length: int, is_fixed: bool, labels: str | None, has_classes: bool = False) -> DataPart:
    """The series of a table whose rows may begin with a label, which is dropped.

    Args:
        path: the file.
        length: the length of the training series. Without `labels` a row must have as many cells, or one more, which is
            then a label.
        is_fixed: whether all training series have that length; otherwise rows with labels must not begin with numbers.
        labels: `LABELED`, `UNLABELED`, or None.
        has_classes: whether labels are classes, which are not numbers with fractions.

    Raises:
        UserError: for a file that is not a table, and if it is unknown whether there are labels.
    """
    table = _table(path)
    notes = table.notes
    if labels is None:
        labels = _whether_labeled(path, table, length, is_fixed)
        first = [cells[0] for _, cells in table.rows]
        if labels == LABELED and not _names_labels(table) and all(map(_is_value, first)):
            words = f"rows have {length + 1} cells: the first is read as a label, the others as a series"
            fraction = next((cell for cell in first if _is_number(cell) and not float(cell).is_integer()), None)
            if has_classes and fraction is not None:
                why = (
                    f"rows have {length + 1} cells, one more than the training series, but {fraction!r} is not a class"
                )
                raise UserError(f"{path}: {why}; --labels none reads all cells as samples")
            notes = (*notes, f"{path}: {words}; --labels none reads all as samples")
    begin = int(labels == LABELED)
    for number, cells in table.rows:
        if len(cells) <= begin:
            raise UserError(f"{path}: row {number} has a label and no values; --labels none reads it as a value")
    return DataPart(pad_series([_values(path, *row, begin) for row in table.rows]), [], notes=notes)


def _whether_labeled(path: Path, table: _Table, length: int, is_fixed: bool) -> str:
    is_named = _names_labels(table)
    if not is_fixed:
        if is_named or all(not _is_value(cells[0]) for _, cells in table.rows):
            return LABELED
        why = "the training series have several lengths, so whether rows begin with a label is unknown"
        raise UserError(f"{path}: {why}; give --labels first or none")
    sizes = {len(cells) for _, cells in table.rows}
    for labels, wanted in ((UNLABELED, length), (LABELED, length + 1)):
        if sizes == {wanted} and not (labels == UNLABELED and is_named):
            return labels
    found = f"{min(sizes)} to {max(sizes)}" if len(sizes) > 1 else f"{min(sizes)}"
    fits = f"neither {length}, the length of the training series, nor {length + 1}, a label and a series"
    if is_named:
        fits = f"the first is a label by the header, and not {length + 1}, a label and a series of the training length"
    raise UserError(f"{path}: rows have {found} cells, {fits}; --labels first or none reads other lengths")


def _names_labels(table: _Table) -> bool:
    """Whether the header says that rows begin with labels."""
    return table.header is not None and table.header[0].lower() in HEADER_WORDS


def _table(path: Path) -> _Table:
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: the file is empty")
    names, others = rows[0][1], [cells for _, cells in rows[1:]]
    is_header = _is_header(names, others)
    column = _index_column(names, others, is_header)
    if not is_header and column is None:
        return _Table(rows, None, ())
    notes, rows = [], rows[1:]
    is_word = names[0].lower() in HEADER_WORDS or column is not None
    if all(map(_is_number, names)) or (not (is_word or _are_counts(names[1:])) and any(map(_is_number, names[1:]))):
        row = f"{names[0]}, {names[1]}, ..., {names[-1]}"
        notes.append(f"{path}: the first row, {row}, is read as a header, not as a series")
    if column is not None:
        notes.append(f"{path}: the first column {column}; it is read as an index, not as labels")
        names, rows = names[1:] or [""], [(number, cells[1:] or [""]) for number, cells in rows]
    if not rows:
        raise UserError(f"{path}: there is a header row and no series")
    return _Table(rows, names, tuple(notes))


def _rows(path: Path) -> list[Row]:
    """The rows that are not blank, with their line numbers; cells are stripped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = _delimiter(next((line for line in file if line.strip()), ""), DELIMITERS[path.suffix.lower()])
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as a table: {error}") from None
    rows = [(number, cells) for number, cells in rows if any(cells)]
    # A delimiter at the end of each row is not followed by a cell.
    while rows and all(len(cells) > 1 and not cells[-1] for _, cells in rows):
        rows = [(number, cells[:-1]) for number, cells in rows]
    return rows


def _delimiter(line: str, usual: str) -> str:
    """The character between the cells of a line: the usual one, or another if the line does not have it."""
    return next((one for one in (usual, "\t", ";", ",") if one in line), usual)


def _is_header(cells: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the cells of the first row are names, counts, or times in equal steps; `others` are the other rows."""
    if cells[0].lower() in HEADER_WORDS or (len(cells) > 1 and not any(_is_value(cell) for cell in cells[1:])):
        return True
    # pandas numbers columns without names. Fewer numbers may be a label and one or two values.
    if len(cells) > 3 and _are_counts(cells, (0,)):
        return True
    if _are_steps(cells):
        return bool(others) and not _are_steps(others[0])
    labels = [row[0] for row in others]
    if _is_number(cells[0]) or cells[0] in labels:
        return False
    are_numbers = all(map(_is_number, labels))
    if are_numbers and len(labels) > 2 and not _is_value(cells[0]):
        return True
    # A word followed by counts. The word is not a label if labels repeat, since it occurs once, or if all are numbers.
    named = _are_counts(cells[1:]) or _are_steps(cells[1:])
    return named and (len(set(labels)) < len(labels) or (bool(labels) and are_numbers))


def _index_column(names: Sequence[str], others: Sequence[Sequence[str]], is_header: bool) -> str | None:
    """Why the first column is an index, in words, or None if it has labels; `others` are the rows after the first.

    pandas writes an index without a name. If its values repeat, they are labels, as of `DataFrame(x, index=y)`.
    """
    name, first = names[0].lower(), [cells[0] for cells in others]
    if not first or name in HEADER_WORDS or _is_number(name):
        return None
    if _are_counts(first) and (name in INDEX_WORDS or (is_header and len(first) > 2)):
        return "counts the rows"
    if name not in INDEX_WORDS or len(set(first)) < len(first):
        return None
    if not (
        is_header or _are_counts(names[1:]) or _is_header(names[1:] or [""], [cells[1:] or [""] for cells in others])
    ):
        return None
    are_whole = all(cell.lstrip("-").isdecimal() for cell in first)
    return "has another value in each row" if are_whole or (len(first) > 2 and not any(map(_is_value, first))) else None


def _are_counts(cells: Sequence[str], begins: tuple[int, ...] = (0, 1)) -> bool:
    """Whether cells are consecutive integers from one of `begins`."""
    return any(list(cells) == list(map(str, range(begin, begin + len(cells)))) for begin in begins)


def _are_steps(cells: Sequence[str]) -> bool:
    """Whether cells are many numbers that increase in equal steps."""
    if len(cells) < MIN_COUNTED_COLUMNS or not all(map(_is_number, cells)):
        return False
    with np.errstate(invalid="ignore"):
        steps = np.diff(np.array(cells, float))
    return bool(steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.max())


def _has_its_label_last(cells: Sequence[str]) -> bool:
    """Whether a row has text after numbers."""
    return len(cells) > 2 and not _is_value(cells[-1]) and all(map(_is_value, cells[1:-1]))


def _is_value(cell: str) -> bool:
    return cell.lower() in MISSING or _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _values(path: Path, number: int, cells: Sequence[str], begin: int) -> Array:
    """The samples of a row from a column, (length, 1)."""
    for column, cell in enumerate(cells[begin:], start=begin + 1):
        if not _is_value(cell):
            raise UserError(f"{path}: row {number}, column {column} is not a number: {cell!r}")
    return np.array([[math.nan if cell.lower() in MISSING else float(cell)] for cell in cells[begin:]])
