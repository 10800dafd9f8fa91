"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def row(cells: Iterable[Any]) -> str:
    """A row of a table.

    >>> row(["a", 1])
    '| a | 1 |'
    """
    return f"| {' | '.join(map(str, cells))} |"


def heading(names: Sequence[str]) -> str:
    """The two lines that begin a table."""
    return f"{row(names)}\n|{'---|' * len(names)}"


def table(heads: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table."""
    return "\n".join([heading(heads), *map(row, rows)])
