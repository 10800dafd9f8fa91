"""Columns of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """The lines of a table. Columns are aligned to the right, those with an index in `left` to the left.

    >>> print(*aligned([["fold", "loss"], ["1", "0.5"]], left=[0]), sep="\\n")
    fold  loss
    1      0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if index in left else str.rjust for index in range(len(widths))]
    return ["  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)) for row in rows]
