"""Comparison of runs: the content of each run folder, and the table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..views.report import aligned
from . import run_folder

NOTHING = ""
WIDTH = 100
"""The width of the table in characters."""


class Run(NamedTuple):
    """A run: its folder as the user named it, and the content of its files."""

    name: str
    config: dict[str, Any]
    results: dict[str, Any]
    curves: dict[str, list[float | None]]


def read(folder: Path) -> Run:
    """A run that has ended or was interrupted.

    Raises `UserError` for a folder that is not a run folder or was written by another version.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: {'a file, not a run folder' if folder.exists() else 'no such folder'}")
    if not (folder / run_folder.CONFIG).is_file():
        raise UserError(f"{folder}: not a run folder, it has no {run_folder.CONFIG}")
    config, results = (run_folder.read_json(folder, name) for name in (run_folder.CONFIG, run_folder.RESULTS))
    if config is None or results is None:
        broken = run_folder.CONFIG if config is None else run_folder.RESULTS
        raise UserError(f"{folder}: {broken} is missing or cannot be read; a run writes it when it ends")
    try:
        run = Run(str(folder), config, results, _curves(folder, results["score_name"]))
        row(run)
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{folder}: {run_folder.RESULTS} is not what this version writes") from None
    return run


def row(run: Run) -> dict[str, Any]:
    """The row of a run, by column; None for parts of the data that it does not have."""
    results = run.results
    found = {
        "run": run.name,
        "status": results["status"],
        "data": run.config["data"],
        "model": run.config["model"],
        "task": run.config.get("task"),
        "epochs": results["epochs"],
        "seconds": sum(results["seconds"].values()),
        "score": results["score_name"],
    }
    for part in run_folder.PARTS:
        numbers = results[part] or {}
        found |= {f"{part}_{field}": numbers.get(field) for field in ("loss", "score")}
    return found | {"best_epoch": results["best_epoch"]}


def text(rows: Sequence[dict[str, Any]], width: int = WIDTH) -> str:
    """The table, with a line for each run. Columns without information are omitted; a common score is in the headings.

    If that is wider than `width`, the words of a heading are stacked, and if necessary a run has three lines.

    >>> print(text([{"run": "a", "status": "done", "score": "accuracy", "test_score": 0.5, "seconds": 2.0}]), end="")
    run  test accuracy  seconds
    ---------------------------
    a           0.5000      2.0
    ---------------------------
    """
    names = {row["score"] for row in rows}
    is_omitted = {
        "status": all(row["status"] == "done" for row in rows),
        "score": len(names) == 1,
        # Losses and scores of different tasks have different units, whatever their names.
        "task": len({row.get("task") for row in rows}) == 1,
        **{field: all(row.get(field) is None for row in rows) for field in ("validation_loss", "validation_score")},
    }
    fields = [field for field in rows[0] if not is_omitted.get(field)]
    heads = [field.replace("score", *names) if len(names) == 1 else field for field in fields]
    heads = [head.replace("_", " ") for head in heads]
    cells = [[_cell(field, row[field]) for field in fields] for row in rows]
    # Numbers are aligned to the right.
    numbers = [all(isinstance(row[field], int | float | None) for row in rows) for field in fields]
    words = [head.split() for head in heads]
    deep = max(map(len, words))
    stacked = [list(line) for line in zip(*([""] * (deep - len(own)) + own for own in words), strict=True)]
    for shown in (_ruled([heads], cells, numbers), _ruled(stacked, cells, numbers)):
        if len(shown[-1]) <= width:
            break
    else:
        shown = _blocks(stacked, cells, numbers)
    return "\n".join(line.rstrip() for line in shown) + "\n"


def _ruled(heads: list[list[str]], cells: list[list[str]], numbers: Sequence[bool]) -> list[str]:
    """Lines of columns between rules."""
    shown = aligned([*heads, *cells], [index for index, number in enumerate(numbers) if not number])
    rule = "-" * max(len(line.rstrip()) for line in shown)
    return [*shown[: len(heads)], rule, *shown[len(heads) :], rule]


def _blocks(heads: list[list[str]], cells: list[list[str]], numbers: Sequence[bool]) -> list[str]:
    """As `_ruled`, but the name of each run and its other text are separate lines above its numbers."""
    words = [list(compress(line, (not number for number in numbers))) for line in cells]
    heads, values = ([list(compress(line, numbers)) for line in part] for part in (heads, cells))
    lines = iter(_ruled(heads, values, [True] * sum(numbers)))
    shown = [f"  {next(lines)}" for _ in range(len(heads) + 1)]
    for name, *others in words:
        shown += [name, f"  {', '.join(others)}", f"  {next(lines)}"]
    return [*shown, f"  {next(lines)}"]


def _cell(field: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if field == "seconds" else f"{value:.4f}"
    return NOTHING if value is None else str(value).replace("_", " ") if field == "score" else str(value)


def _curves(folder: Path, score: str) -> dict[str, list[float | None]]:
    """The columns of `metrics.csv`, with the name of the score replaced by `score`; empty if it cannot be read."""
    try:
        with (folder / run_folder.METRICS).open(newline="") as file:
            head, *lines = csv.reader(file)
        columns = zip(*([float(cell) if cell else None for cell in line] for line in lines), strict=True)
        return {name.replace(score, "score"): list(column) for name, column in zip(head, columns, strict=True)}
    except (OSError, ValueError):
        return {}
