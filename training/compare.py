"""`python -m training.compare RUN RUN ...`: runs side by side, as a table, as JSON, or their curves in one picture."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from .errors import MISTAKE, Parser, UserError
from .run import run_folder

DESCRIPTION = """\
Set runs side by side: what was trained on what, how long, how well.

Each RUN is a folder that python -m training.fit has left, for example runs/*, or one of python -m training.sweep,
which stands for its runs; those that have not ended are left out. Losses and scores are of the params that the run
kept; the best epoch is that of the lowest training loss or, where it stopped early by that, validation loss."""

ENDINGS = (".png", ".svg", ".pdf")
NOTHING = ""
WIDTH = 100
"""Of the table, in characters."""


class Run(NamedTuple):
    """What is compared of a run: its folder as it was named, and what its files hold."""

    name: str
    config: dict[str, Any]
    results: dict[str, Any]
    curves: dict[str, list[float | None]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code, 2 for a folder that is no run or a picture that cannot be written."""
    options = _parser().parse_args(arguments)
    try:
        runs = [read(folder) for folder in _ended([Path(name) for name in options.runs])]
        if options.picture:
            _draw(runs, options.picture)
    except UserError as error:
        print(f"compare: {error}", file=sys.stderr)
        return MISTAKE
    rows = [row(run) for run in runs]
    print(run_folder.as_json({"runs": rows}) if options.json else text(rows), end="")
    return 0


def read(folder: Path) -> Run:
    """A run that has ended, or was stopped and has saved what there was.

    Raises `UserError` for a folder that is none, and for one that another version has written.
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
    """The line of a run, by column; None for the test set of a run that had none."""
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
    """The table: a line a run. Where all have one score its name is in the heads; what says nothing is left out.

    Where that is wider than `width`, the words of a head stand over each other, and if need be a run has three lines.

    >>> print(text([{"run": "a", "status": "done", "score": "accuracy", "test_score": 0.5, "seconds": 2.0}]), end="")
    run  test accuracy  seconds
    ---------------------------
    a           0.5000      2.0
    ---------------------------
    """
    names = {row["score"] for row in rows}
    left = {"status"} if all(row["status"] == "done" for row in rows) else set[str]()
    left |= {"score"} if len(names) == 1 else set[str]()
    # Losses and scores of different tasks are not of the same unit, whatever their names.
    left |= {"task"} if len({row.get("task") for row in rows}) == 1 else set[str]()
    # Few runs hold series out for validation.
    left |= {field for field in rows[0] if field.startswith("validation") and all(row[field] is None for row in rows)}
    fields = [field for field in rows[0] if field not in left]
    heads = [field.replace("score", *names) if len(names) == 1 else field for field in fields]
    heads = [head.replace("_", " ") for head in heads]
    cells = [[_cell(field, row[field]) for field in fields] for row in rows]
    # Numbers to the right.
    numbers = [all(isinstance(row[field], int | float | None) for row in rows) for field in fields]
    words = [head.split() for head in heads]
    deep = max(map(len, words))
    stacked = [list(line) for line in zip(*([""] * (deep - len(own)) + own for own in words), strict=True)]
    for shown in (_aligned([heads], cells, numbers), _aligned(stacked, cells, numbers)):
        if len(shown[-1]) <= width:
            break
    else:
        shown = _blocks(stacked, cells, numbers)
    return "\n".join(line.rstrip() for line in shown) + "\n"


def _aligned(heads: list[list[str]], cells: list[list[str]], numbers: Sequence[bool]) -> list[str]:
    """Lines of columns between rules."""
    widths = [max(map(len, column)) for column in zip(*heads, *cells, strict=True)]
    sides = [str.rjust if number else str.ljust for number in numbers]
    shown = [
        "  ".join(side(cell, width) for cell, width, side in zip(line, widths, sides, strict=True))
        for line in (*heads, *cells)
    ]
    rule = "-" * max(len(line.rstrip()) for line in shown)
    return [*shown[: len(heads)], rule, *shown[len(heads) :], rule]


def _blocks(heads: list[list[str]], cells: list[list[str]], numbers: Sequence[bool]) -> list[str]:
    """As `_aligned`, but the name of each run and its other words are lines of their own above its numbers."""
    words = [list(compress(line, (not number for number in numbers))) for line in cells]
    heads, values = ([list(compress(line, numbers)) for line in part] for part in (heads, cells))
    lines = iter(_aligned(heads, values, [True] * sum(numbers)))
    shown = [f"  {next(lines)}" for _ in range(len(heads) + 1)]
    for name, *others in words:
        shown += [name, f"  {', '.join(others)}", f"  {next(lines)}"]
    return [*shown, f"  {next(lines)}"]


def _cell(field: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if field == "seconds" else f"{value:.4f}"
    return NOTHING if value is None else str(value).replace("_", " ") if field == "score" else str(value)


def _curves(folder: Path, score: str) -> dict[str, list[float | None]]:
    """The columns of `metrics.csv`, the score's as `train_score` and `test_score`; none where it cannot be read."""
    try:
        with (folder / run_folder.METRICS).open(newline="") as file:
            head, *lines = csv.reader(file)
        columns = zip(*([float(cell) if cell else None for cell in line] for line in lines), strict=True)
        return {name.replace(score, "score"): list(column) for name, column in zip(head, columns, strict=True)}
    except (OSError, ValueError):
        return {}


def _ended(named: Sequence[Path]) -> list[Path]:
    """The folders that were named, but for runs that have not ended where others have: each is told of."""
    folders = [folder for name in named for folder in _folders(name)] or list(named)
    ended = [
        folder
        for folder in folders
        if (folder / run_folder.RESULTS).exists() or not (folder / run_folder.CONFIG).is_file()
    ]
    if not ended:
        return folders
    for folder in folders:
        if folder not in ended:
            words = f"it has no {run_folder.RESULTS}, a run writes it when it ends"
            print(f"compare: {folder} is left out: {words}", file=sys.stderr)
    return ended


def _folders(folder: Path) -> list[Path]:
    """The run folders within a folder that is none itself, as a sweep has them; else the folder alone.

    Nothing for the file that a sweep writes beside a run, `RUN.log`.
    """
    if folder.suffix == ".log" and folder.is_file() and folder.with_suffix("").is_dir():
        return []
    inside = sorted(file.parent for file in folder.glob(f"*/{run_folder.CONFIG}"))
    return [folder] if (folder / run_folder.CONFIG).exists() or not inside else inside


def _draw(runs: Sequence[Run], path: Path) -> None:
    from .views import pictures_of_runs

    for run in runs:
        if not {"epoch", "train_loss", "train_score", "test_loss", "test_score"} <= run.curves.keys():
            raise UserError(f"{run.name}: {run_folder.METRICS} has no epochs to draw, or cannot be read")
    content = pictures_of_runs.curves(
        {run.name: run.curves for run in runs}, {run.results["score_name"] for run in runs}, path.suffix[1:].lower()
    )
    try:
        run_folder.write(path.parent, path.name, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written to: {error.strerror or error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m training.compare",
        description=DESCRIPTION,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, or a sweep's")
    words = "draw the curves of training and validation, without it of test: .png, .svg or .pdf"
    parser.add_argument("--picture", type=_picture, metavar="FILE", help=words)
    parser.add_argument("--json", action="store_true", help='print {"runs": [...]} in place of the table')
    return parser


def _picture(name: str) -> Path:
    if Path(name).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f"must end in {', '.join(ENDINGS)}, got {name!r}")
    return Path(name)


if __name__ == "__main__":
    raise SystemExit(main())
