"""`--folds K`: cross-validation with a run for each fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from ..errors import say
from ..options.options import Options
from ..run import outcome, run_folder
from ..run.outcome import Exit
from ..views.report import aligned

FIELDS = ("loss", "score")


def run(options: Options, run_one: Callable[..., Exit]) -> Exit:
    """Run `run_one` with `--fold I/K` for each fold, in the folder `fold-I` of the run folder.

    `results.json` of the run folder has the mean and the deviation over the folds of loss and score on each part of the
    data. After a run that fails no other starts. With `--resume` each run is resumed. The files of an earlier run are
    removed when the first fold starts.
    """
    assert options.folds is not None
    count, folder = options.folds, options.out
    # With a fold in it, the folder is checked by the run of that fold.
    if not (folder / f"{run_folder.FOLD}1").is_dir():
        run_folder.check(folder, options.overwrite)
    results: list[dict[str, Any]] = []
    code = 0
    with ExitStack() as lock:
        for number in range(1, count + 1):
            say(f"fold       {number} of {count}")
            own = options._replace(folds=None, fold=f"{number}/{count}", out=folder / f"{run_folder.FOLD}{number}")
            code, result = run_one(own, partial(_begin, options, lock) if number == 1 else None)
            results.append(result)
            with run_folder.writable(folder):
                run_folder.write_json(folder, run_folder.RESULTS, summary(str(folder), results, count))
            say("")
            if code:
                break
    say(table(results))
    return Exit(code, summary(str(folder), results, count))


def _begin(options: Options, lock: ExitStack, is_new: bool, task: str) -> None:
    """Lock the folder and, for a new run, remove the files of an earlier one and write `config.json`."""
    lock.enter_context(run_folder.locked(options.out))
    if is_new:
        names = ("data", "model", "folds", "seed")
        own = {"task": task, **{name: getattr(options, name) for name in names}}
        run_folder.begin(options.out, own, options.folds or 0)


def summary(run: str, results: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    """The results of the folds in the form of a run's results, with their means and deviations.

    With fewer results than the `count` of folds the run counts as interrupted.
    """
    parts = {part: [one[part] for one in results if one[part]] for part in run_folder.PARTS}
    seconds = [one["seconds"] for one in results]
    status = results[-1]["status"]
    return {
        "run": run,
        "status": outcome.STOPPED if status == outcome.DONE and len(results) < count else status,
        "epochs": max(one["epochs"] for one in results),
        "best_epoch": None,
        "score_name": results[0]["score_name"],
        **{part: _reduce(found, np.mean) for part, found in parts.items()},
        "deviation": {part: _reduce(found, np.std) for part, found in parts.items()},
        "seconds": {stage: sum(own.get(stage, 0.0) for own in seconds) for stage in seconds[0]},
        "folds": list(results),
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """A table of the losses and scores of each fold, with their means and deviations."""
    means = summary("", results, len(results))
    parts = [part for part in ("validation", "test") if means[part]]
    heads = [f"{part} {field}" for part in parts for field in ("loss", means["score_name"].replace("_", " "))]
    rows = [(str(number), one) for number, one in enumerate(results, start=1)]
    rows += [("mean", means), ("deviation", means["deviation"])]
    cells = [[name, *(_cell(one[part], field) for part in parts for field in FIELDS)] for name, one in rows]
    return "\n".join(aligned([["fold", *heads], *cells]))


def _reduce(found: Sequence[dict[str, float]], function: Callable[[Any], Any]) -> dict[str, float] | None:
    return {field: float(function([one[field] for one in found])) for field in FIELDS} if found else None


def _cell(numbers: dict[str, float] | None, field: str) -> str:
    return "" if numbers is None else f"{numbers[field]:.4f}"
