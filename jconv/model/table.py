"""Text tables with wrapped cells."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence

GAP = "  "
MIN_COLUMN_WIDTH = 12


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), width: int | None = None
) -> list[str]:
    """The lines of a table: heads, a rule, the rows, a rule.

    `right` names the right-aligned columns of numbers, which are never wrapped. If the table is wider than `width`, the
    other columns are wrapped, the widest first, down to `MIN_COLUMN_WIDTH`. Words are broken only if this is not
    enough.

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
        wrapped = [i for i, head in enumerate(heads) if head not in right]
        words = {i: max(len(word) for row in (heads, *rows) for word in ("", *row[i].split())) for i in wrapped}
        keep_words = {i: max(words[i] + 2, MIN_COLUMN_WIDTH) for i in wrapped}
        for minimum in (keep_words, dict.fromkeys(wrapped, MIN_COLUMN_WIDTH)):
            _shrink(widths, minimum, width - len(GAP) * (len(widths) - 1))
    lines = [line for row in (heads, *rows) for line in _format_row(row, widths, [head in right for head in heads])]
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:], rule]


def _shrink(widths: list[int], minimum: dict[int, int], total: int) -> None:
    while sum(widths) > total and (shrinkable := [i for i in minimum if widths[i] > minimum[i]]):
        widths[max(shrinkable, key=lambda i: widths[i])] -= 1


def _format_row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    cells = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, subsequent_indent="  ", break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for texts in itertools.zip_longest(*cells, fillvalue=""):
        aligned = zip(texts, widths, right, strict=True)
        padded = [text.rjust(size) if number else text.ljust(size) for text, size, number in aligned]
        lines.append(GAP.join(padded).rstrip())
    return lines
