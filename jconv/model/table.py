"""Rows of text as a table with lines, no wider than asked: long cells go on in the line below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

GAP = "  "
# No column is made narrower than this; a table that still is too wide stays so.
NARROWEST = 12


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), width: int | None = None
) -> list[str]:
    """The lines of a table: heads, a line, the rows, a line.

    `right` names the columns of numbers, which are never broken. The others are, where the table is wider than
    `width`: the widest first, and words last.

    >>> print(*table(("name", "n"), [("a", "1"), ("a long one, in words", "20")], right=("n",), width=18), sep="\\n")
    name             n
    ------------------
    a                1
    a long one, in  20
      words
    ------------------
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    if width is not None:
        free = [i for i, head in enumerate(heads) if head not in right]
        words = {i: max(len(word) for row in (heads, *rows) for word in ("", *row[i].split())) for i in free}
        # Words stay whole where that is enough.
        for least in ({i: max(words[i] + 2, NARROWEST) for i in free}, dict.fromkeys(free, NARROWEST)):
            _narrow(widths, least, width - len(GAP) * (len(widths) - 1))
    lines = [line for row in (heads, *rows) for line in _lines(row, widths, [head in right for head in heads])]
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:], rule]


def _narrow(widths: list[int], least: dict[int, int], total: int) -> None:
    while sum(widths) > total and (free := [i for i in least if widths[i] > least[i]]):
        widths[max(free, key=lambda i: widths[i])] -= 1


def _lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    cells = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, subsequent_indent="  ", break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for i in range(max(map(len, cells))):
        parts = []
        for cell, width, number in zip(cells, widths, right, strict=True):
            part = cell[i] if i < len(cell) else ""
            parts.append(part.rjust(width) if number else part.ljust(width))
        lines.append(GAP.join(parts).rstrip())
    return lines
