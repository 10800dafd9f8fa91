"""`python -m training.sweep`: a run of `training.fit` for each cell of a grid of its options, and their comparison."""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import jax

from .commands.from_options import build_run, hold_out
from .data import datasets
from .errors import MISTAKE, Parser, UserError, output, say
from .options import hydra
from .options.options import FREE, HYDRA, Options, parse
from .options.types import whole
from .run import comparison, outcome, resume, run_folder
from .run.child import FIT, Children, pinned_to, split_cores
from .run.config import recorded_options
from .run.interrupt import EXIT_CODES, handling_signals

DESCRIPTION = """\
Train a network for each cell of a grid: python -m training.fit with each combination of the values, one after the other
or --jobs at once, each in its own process and folder, DIR/name=value,name=value. All other options are those of fit and
apply to every cell.

At the end the runs are compared in the table of training.compare, the best first: by the score on the validation set,
with --validation, else by the training loss. The test set is not used for this order.

A cell that fails or diverges is reported, and the next one starts. After Ctrl-C or SIGTERM the running cells finish
their epoch and save. The same command with --resume continues: cells that have ended are not run again."""

EPILOG = """\
examples:
  python -m training.sweep --out runs/rates --grid learning-rate=0.01,0.001 --grid model=fcn,resnet --validation 0.2
  python -m training.sweep --out runs/seeds --grid seed=0,1,2,3 --jobs 2 --epochs 100 --skip-proof --resume

exit codes: 0 all cells done, 1 some failed or diverged, 2 an error in an option, 130 stopped by Ctrl-C, 143 by
SIGTERM."""

DONE, FAILED = 0, 1
# A run with one of these statuses is not repeated: the same options would give the same results.
ENDED = (outcome.DONE, outcome.DIVERGED, outcome.NOT_PROVED)
# If one of these options varies, the losses of the runs are different quantities that cannot be compared.
LOSS_OPTIONS = ("data", "loss", "label_smoothing", "class_weights", "task")


class Cell(NamedTuple):
    """A combination of values: its name, the arguments of `fit`, and its options."""

    name: str
    arguments: tuple[str, ...]
    options: Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `python -m training.sweep --help`."""
    options, rest = _parser().parse_known_args(arguments)
    # This process computes nothing and leaves the memory of accelerators to the cells.
    jax.config.update("jax_platforms", "cpu")
    report = partial(say, file=sys.stderr if options.json else None)
    try:
        grid = _grid(options.grid, rest)
        cells = _cells(options.out, grid, rest)
        _check(cells)
        failed, stopped = _run(options.out, cells, options.jobs, report)
        ended = [cell.options.out for cell in cells if cell.name not in failed and _status(cell) is not None]
        runs = [comparison.row(comparison.read(folder)) for folder in ended]
        rows, order = ranked(runs, varied=[name for name, _ in grid])
        if options.json:
            output(run_folder.as_json({"sorted_by": order, "runs": rows, "failed": failed}))
        elif rows:
            output(f"\nsorted by {order}\n{comparison.text(rows)}")
    except UserError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return MISTAKE
    if stopped is not None:
        print("sweep: interrupted; the same command with --resume continues", file=sys.stderr)
        return EXIT_CODES[stopped]
    return DONE if all(_status(cell) == outcome.DONE for cell in cells) and not failed else FAILED


def ranked(rows: Sequence[dict[str, Any]], varied: Sequence[str] = ()) -> tuple[list[dict[str, Any]], str]:
    """Sort runs, the best first.

    Args:
        rows: rows of `comparison.row`.
        varied: the names of the options in which the runs differ.

    Returns:
        The sorted rows, and a description of the order. Runs that are not done come last.

    >>> row = {"status": "done", "score": "accuracy", "training_loss": 0.5}
    >>> rows, order = ranked([row | {"validation_score": score} for score in (0.25, 0.75)])
    >>> [row["validation_score"] for row in rows], order
    ([0.75, 0.25], 'validation accuracy, the best first; the test set is not used')
    """
    names = {row["score"] for row in rows}
    validated = len(names) == 1 and all(row["validation_score"] is not None for row in rows)
    # A high accuracy is better, but a low error or loss.
    sign = -1 if validated and names == {"accuracy"} else 1
    field = "validation_score" if validated else "training_loss"

    def sort_key(row: dict[str, Any]) -> tuple[bool, float]:
        value = row[field]
        return row["status"] != outcome.DONE, sign * value if isinstance(value, int | float) else float("inf")

    if validated:
        order = f"validation {names.pop().replace('_', ' ')}, the best first"
    else:
        order = "training loss, the lowest first, since --validation holds no series out"
        if len(names) > 1 or any(name in LOSS_OPTIONS for name in varied):
            order += "; it is not the same loss in each run, so this order means little"
    return sorted(rows, key=sort_key), f"{order}; the test set is not used"


def _grid(given: Sequence[tuple[str, list[str]]], rest: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options of the grid, by field of `Options`, with their values. Raises `UserError` for other options."""
    known = [name for name in Options._fields if name not in (*FREE, "x64", "folds")]
    found: list[tuple[str, list[str]]] = []
    for word, values in given:
        name = word.replace("-", "_")
        if name not in known:
            names = ", ".join(one.replace("_", "-") for one in known)
            raise UserError(f"--grid {word}: not an option of fit that can vary; those are {names}")
        if any(argument.partition("=")[0] == f"--{word}" for argument in rest):
            raise UserError(f"--{word} is given both in --grid and separately")
        if name in dict(found):
            raise UserError(f"--grid {word} is given twice")
        if len(set(values)) < len(values):
            raise UserError(f"--grid {word}: a value is given twice in {','.join(values)}")
        found.append((name, values))
    return found


def _cells(out: Path, grid: Sequence[tuple[str, list[str]]], rest: Sequence[str]) -> list[Cell]:
    """Every combination of the values. Raises `UserError`, and `SystemExit` for a value that `fit` does not accept."""
    cells: dict[str, Cell] = {}
    for values in itertools.product(*(values for _, values in grid)):
        pairs = [(name.replace("_", "-"), value) for (name, _), value in zip(grid, values, strict=True)]
        name = ",".join(f"{word}={_folder_text(word, value)}" for word, value in pairs)
        arguments = (*rest, *(f"--{word}={value}" for word, value in pairs), "--out", str(out / name))
        if name in cells:
            raise UserError(f"{out / name}: two cells have this folder; rename one of their files")
        cells[name] = Cell(name, arguments, parse(arguments, "sweep"))
    return list(cells.values())


def _check(cells: Sequence[Cell]) -> None:
    """Raise `UserError` for an error in any cell, before the first one runs."""
    load = cache(datasets.load)
    for cell in cells:
        options = cell.options
        if options.folds:
            raise UserError("--folds is several runs; --grid fold=1/5,2/5,... makes each of them a cell")
        earlier = run_folder.config_to_resume(options.out, options.resume, options.overwrite)
        try:
            recorded = _recorded_options(options, load)
        except UserError as error:
            raise UserError(f"{cell.name}: {error}") from None
        if earlier is not None:
            # Converted like the recorded options, which are JSON.
            resume.check_options(options.out, earlier.get("options", {}), json.loads(run_folder.as_json(recorded)))


def _recorded_options(options: Options, load: Callable[[str, bool], datasets.Dataset]) -> dict[str, Any]:
    """The options that the results of a cell depend on. Raises `UserError` for an error in its options or data."""
    if options.model != HYDRA:
        return recorded_options(options, build_run(options, load).plan)
    hydra.check(options)
    datasets.check_classes(hold_out(options, load(options.data, options.channels == "first"))[0])
    return hydra.recorded(options)


def _run(
    out: Path, cells: Sequence[Cell], jobs: int, report: Callable[[str], None]
) -> tuple[dict[str, str], signal.Signals | None]:
    """Run each cell that has not ended, `jobs` at once, each restricted to its share of the cores.

    Returns the reasons of failed cells by name, and the signal that stopped the sweep, or None.
    """
    failed: dict[str, str] = {}
    with run_folder.writable(out):
        out.mkdir(parents=True, exist_ok=True)
    # As many shares as jobs, even if fewer cells remain: on other cores a resumed run would round differently.
    free: SimpleQueue[set[int]] = SimpleQueue()
    for share in split_cores(jobs):
        free.put(share)
    children = Children()
    with handling_signals(children.pass_on), ThreadPoolExecutor(jobs) as pool:
        running = {}
        for number, cell in enumerate(cells, 1):
            head = f"{number}/{len(cells)} {cell.name}"
            if cell.options.resume and _status(cell) in ENDED:
                report(f"{head}: {_status(cell)} before")
            else:
                running[pool.submit(_run_cell, out, cell, children, free)] = cell.name, head
        remaining = set(running)
        try:
            while remaining:
                # The timeout lets this thread run the handler of a signal that another thread received.
                ended, remaining = wait(remaining, timeout=1, return_when=FIRST_COMPLETED)
                for one in (one for one in running if one in ended):
                    (name, head), (message, why) = running[one], one.result()
                    if why is not None:
                        failed[name] = why
                    if message:
                        report(f"{head}: {message}")
        finally:
            pool.shutdown(cancel_futures=True)
    return failed, children.signal


def _run_cell(out: Path, cell: Cell, children: Children, free: SimpleQueue[set[int]]) -> tuple[str, str | None]:
    """Run a cell on free cores. Returns how it ended, `""` if it did not start, and why it failed, or None."""
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
    """The status in the results of a cell, None if it has not ended."""
    return (run_folder.read_json(cell.options.out, run_folder.RESULTS) or {}).get("status")


def _last_line(log: Path) -> str | None:
    lines = log.read_text(errors="replace").splitlines()
    return next((line.removeprefix("fit: ") for line in reversed(lines) if line.strip()), None)


def _folder_text(word: str, value: str) -> str:
    """The text for a value in the name of a folder. A path is shortened to the name of the file."""
    return Path(value).name if word in ("data", "model") else value.replace("/", "-")


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
    add("--out", type=Path, required=True, metavar="DIR", help="the folder for the run folders of the cells")
    words = "an option of fit and its values; may be repeated, for the cells of all combinations"
    add("--grid", type=_values, action="append", required=True, metavar="NAME=VALUE,VALUE", help=words)
    words = "cells that run at once, each on its share of the cores; one per core takes the least time; default 1"
    add("--jobs", type=whole(1), default=1, metavar="N", help=words)
    add("--json", action="store_true", help="print one object at the end; everything else on standard error")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
