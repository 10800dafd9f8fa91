"""`python -m training.sweep`: a run of `training.fit` for each cell of a small grid of its options, side by side."""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import jax

from .commands.from_options import build_run
from .data import datasets
from .errors import MISTAKE, Parser, UserError
from .options.options import FREE, Options, parse
from .options.types import whole
from .run import comparison, outcome, resume, run_folder
from .run.child import FIT, Children
from .run.cores import pinned_to, split_cores
from .run.interrupt import EXIT_CODES

DESCRIPTION = """\
Train a network for each cell of a grid: python -m training.fit with each choice of the values given, one after the
other or --jobs at once, each in a process and a folder of its own, DIR/name=value,name=value. Whatever else is given is
an option of fit and goes to every cell.

At the end the runs are set side by side, as training.compare has them, the best first: by the score on the validation
set, with --validation, else by the training loss. The test set picks nothing.

A cell that fails or diverges is reported, and the next one starts. Ctrl-C or SIGTERM lets the running cells finish
their epoch and save. The same command with --resume continues: cells that have ended stay as they are."""

EPILOG = """\
examples:
  python -m training.sweep --out runs/rates --grid learning-rate=0.01,0.001 --grid model=fcn,resnet --validation 0.2
  python -m training.sweep --out runs/seeds --grid seed=0,1,2,3 --jobs 2 --epochs 100 --skip-proof --resume

exit codes: 0 all cells done, 1 some failed or diverged, 2 a mistake in an option, 130 stopped by Ctrl-C, 143 by
SIGTERM."""

DONE, FAILED = 0, 1
# A run in such a state has ended: the same options would come to the same.
ENDED = (outcome.DONE, outcome.DIVERGED, outcome.NOT_PROVED)
# Where the loss itself differs from cell to cell, a lower one is no better.
OF_LOSS = ("data", "loss", "label_smoothing", "class_weights", "task")


class Cell(NamedTuple):
    """A choice of values: its words, the arguments of `fit`, and what they come to."""

    name: str
    arguments: tuple[str, ...]
    options: Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `python -m training.sweep --help`."""
    options, rest = _parser().parse_known_args(arguments)
    # This process computes nothing; an accelerator's memory is left to the cells.
    jax.config.update("jax_platforms", "cpu")
    say = _say_to(sys.stderr if options.json else sys.stdout)
    try:
        grid = _grid(options.grid, rest)
        cells = _cells(options.out, grid, rest)
        _check(cells)
        failed, stopped = _run(options.out, cells, options.jobs, say)
        ended = [cell.options.out for cell in cells if cell.name not in failed and _status(cell) is not None]
        runs = [comparison.read(folder) for folder in ended]
    except UserError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return MISTAKE
    rows, words = ranked([comparison.row(run) for run in runs], varied=[name for name, _ in grid])
    if options.json:
        print(run_folder.as_json({"sorted_by": words, "runs": rows, "failed": failed}), end="")
    elif rows:
        print(f"\nsorted by {words}\n{comparison.text(rows)}", end="")
    if stopped is not None:
        print("sweep: interrupted; the same command with --resume goes on", file=sys.stderr)
        return EXIT_CODES[stopped]
    return DONE if all(_status(cell) == outcome.DONE for cell in cells) and not failed else FAILED


def ranked(rows: Sequence[dict[str, Any]], varied: Sequence[str] = ()) -> tuple[list[dict[str, Any]], str]:
    """The rows of runs, the best first, and the words for what that is by: nothing of the test set.

    Runs that are not done come last. `varied` are the names of the options in which the runs differ.

    >>> row = {"status": "done", "score": "accuracy", "training_loss": 0.5}
    >>> rows, words = ranked([row | {"validation_score": score} for score in (0.25, 0.75)])
    >>> [row["validation_score"] for row in rows], words
    ([0.75, 0.25], 'validation accuracy, the best first; the test set picks nothing')
    """
    names = {row["score"] for row in rows}
    validated = len(names) == 1 and all(row["validation_score"] is not None for row in rows)
    # An error is better where it is lower.
    sign = -1 if validated and names == {"accuracy"} else 1
    field = "validation_score" if validated else "training_loss"

    def place(row: dict[str, Any]) -> tuple[bool, float]:
        value = row[field]
        return row["status"] != outcome.DONE, sign * value if isinstance(value, int | float) else float("inf")

    if validated:
        words = f"validation {names.pop().replace('_', ' ')}, the best first"
    else:
        words = "training loss, the lowest first, since --validation holds no series out"
        other = [name for name in varied if name in OF_LOSS]
        if other or len(names) > 1:
            words += "; it is not the same loss in each, so its order says little"
    return sorted(rows, key=place), f"{words}; the test set picks nothing"


def _grid(given: Sequence[tuple[str, list[str]]], rest: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The names of options, as fields of `Options`, each with its values. Raises `UserError` for what is no grid."""
    known = [name for name in Options._fields if name not in (*FREE, "x64", "folds")]
    found: list[tuple[str, list[str]]] = []
    for word, values in given:
        name = word.replace("-", "_")
        if name not in known:
            names = ", ".join(one.replace("_", "-") for one in known)
            raise UserError(f"--grid {word}: not an option of fit whose values can vary; those are {names}")
        if any(argument.partition("=")[0] == f"--{word}" for argument in rest):
            raise UserError(f"--{word} is given by itself and in --grid")
        if name in dict(found):
            raise UserError(f"--grid {word} is given twice")
        if len(set(values)) < len(values):
            raise UserError(f"--grid {word}: a value is given twice in {','.join(values)}")
        found.append((name, values))
    return found


def _cells(out: Path, grid: Sequence[tuple[str, list[str]]], rest: Sequence[str]) -> list[Cell]:
    """Every choice of a value for each name. Raises `UserError`, and `SystemExit` for values that are none."""
    cells: dict[str, Cell] = {}
    for values in itertools.product(*(values for _, values in grid)):
        pairs = [(name.replace("_", "-"), value) for (name, _), value in zip(grid, values, strict=True)]
        name = ",".join(f"{word}={_said(word, value)}" for word, value in pairs)
        arguments = (*rest, *(f"--{word}={value}" for word, value in pairs), "--out", str(out / name))
        if name in cells:
            raise UserError(f"{out / name}: the folder of two cells, whose files have one name")
        cells[name] = Cell(name, arguments, parse(arguments, "sweep"))
    return list(cells.values())


def _check(cells: Sequence[Cell]) -> None:
    """Raise `UserError` for whatever is wrong with a cell, before any of them runs."""
    load = cache(datasets.load)
    for cell in cells:
        options = cell.options
        if options.folds:
            raise UserError("--folds trains several times; --grid fold=1/5,2/5,... has each as a cell")
        begun = run_folder.config_to_resume(options.out) if options.resume else None
        if not options.resume:
            run_folder.check(options.out, options.overwrite)
        try:
            plan = build_run(options, load).plan
        except UserError as error:
            raise UserError(f"{cell.name}: {error}") from None
        if begun is not None:
            # As they are written.
            now = json.loads(run_folder.as_json(resume.recorded_options(options, plan)))
            resume.check_options(options.out, begun.get("options", {}), now)


def _run(
    out: Path, cells: Sequence[Cell], jobs: int, say: Callable[[str], None]
) -> tuple[dict[str, str], signal.Signals | None]:
    """Run each cell that has not ended, `jobs` at once, each held to its share of the cores.

    Returns why those failed that did, and the signal that stopped the sweep, or None.
    """
    failed: dict[str, str] = {}
    with run_folder.writable(out):
        out.mkdir(parents=True, exist_ok=True)
    # As many as there are jobs, not cells that are left: with other cores a run would go on to other bits.
    free: SimpleQueue[set[int]] = SimpleQueue()
    for share in split_cores(jobs):
        free.put(share)
    with Children() as children, ThreadPoolExecutor(jobs) as pool:
        running = {}
        for number, cell in enumerate(cells, 1):
            head = f"{number}/{len(cells)} {cell.name}"
            if cell.options.resume and _status(cell) in ENDED:
                say(f"{head}: {_status(cell)} before")
            else:
                running[pool.submit(_run_cell, out, cell, children, free)] = cell.name, head
        left = set(running)
        try:
            while left:
                # A signal that was heard by another thread is passed on when this one wakes.
                ended, left = wait(left, timeout=1, return_when=FIRST_COMPLETED)
                for one in (one for one in running if one in ended):
                    (name, head), (words, why) = running[one], one.result()
                    if why is not None:
                        failed[name] = why
                    if words:
                        say(f"{head}: {words}")
        finally:
            pool.shutdown(cancel_futures=True)
    return failed, children.signal


def _run_cell(out: Path, cell: Cell, children: Children, free: SimpleQueue[set[int]]) -> tuple[str, str | None]:
    """Run a cell on free cores: the words for how it ended, empty where it did not begin, and why it failed."""
    if children.signal is not None:
        return "", None
    share, began, log = free.get(), time.perf_counter(), out / f"{cell.name}.log"
    try:
        with run_folder.writable(out), pinned_to(share):
            code = children.run([*FIT, *cell.arguments], log)
    finally:
        free.put(share)
    status = _status(cell)
    if code in (DONE, FAILED) and status in ENDED:
        return f"{status}, {time.perf_counter() - began:.1f} s", None
    if children.signal is not None:
        return "interrupted" * (code is not None), None
    why = _last_line(log) or f"exit code {code}"
    return f"failed: {why}, {time.perf_counter() - began:.1f} s", why


def _status(cell: Cell) -> str | None:
    """How a cell's run has ended, None where it has not come to that."""
    return (run_folder.read_json(cell.options.out, run_folder.RESULTS) or {}).get("status")


def _last_line(log: Path) -> str | None:
    lines = log.read_text(errors="replace").splitlines()
    return next((line.removeprefix("fit: ") for line in reversed(lines) if line.strip()), None)


def _said(word: str, value: str) -> str:
    """A value in the name of a folder: a file by its name."""
    return Path(value).name if word in ("data", "model") else value.replace("/", "-")


def _say_to(stream: Any) -> Callable[[str], None]:
    return lambda words: print(words, file=stream, flush=True)


def _values(text: str) -> tuple[str, list[str]]:
    name, _, values = text.partition("=")
    found = values.split(",")
    if not name or not all(found):
        raise argparse.ArgumentTypeError(f"must be name=value,value,... got {text!r}")
    return name.removeprefix("--"), found


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m training.sweep",
        usage="python -m training.sweep --out DIR --grid NAME=VALUE,VALUE [--grid ...] [--jobs N] [--json] "
        "[options of fit]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="where the folders of the cells go")
    words = "an option of fit and its values; each further one multiplies the cells"
    add("--grid", type=_values, action="append", required=True, metavar="NAME=VALUE,VALUE", help=words)
    words = (
        "cells that run at once, each held to its share of the cores; with one a core all are done soonest; default 1"
    )
    add("--jobs", type=whole(1), default=1, metavar="N", help=words)
    add("--json", action="store_true", help="print one object at the end; all words on standard error")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
