"""The results of a run: the content of `results.json`, which `--json` prints too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..core import stopping
from ..core.learner import Row
from ..core.plan import Plan
from ..tasks import Task
from ..views.report import Result
from .run_folder import PARTS

DONE, STOPPED, DIVERGED, NOT_PROVED = "done", "interrupted", "diverged", "not proved"


class Exit(NamedTuple):
    """The exit code of the command, and its results."""

    code: int
    results: dict[str, Any]


def outcome(
    run: Path,
    status: str,
    task: Task,
    plan: Plan,
    rows: Sequence[Row],
    results: dict[str, Result],
    proof: tuple[str, float] | None,
    seconds: dict[str, float],
    began_after: int,
) -> dict[str, Any]:
    """Loss, scores and baseline on each part of the data, with epochs and seconds.

    `proof` is the name and value of the largest deviation, None if nothing was proved. `seconds` has the time of each
    stage of this process, which started after `began_after` epochs. The best epoch has the lowest value of the loss
    that the plan watches.
    """
    return {
        "run": str(run),
        "status": status,
        "epochs": len(rows),
        "began_after_epoch": began_after,
        "watched": plan.watch,
        "best_epoch": stopping.best_epoch(plan, rows),
        "score_name": task.score_name,
        **{part: numbers(results.get(part)) for part in PARTS},
        "baseline": _baseline(task),
        "proof": proof and {"of": proof[0], "deviation": proof[1]},
        "seconds": seconds,
    }


def _baseline(task: Task) -> dict[str, Any] | None:
    field = "losses" if task.baseline_of == "loss" else "scores"
    return {"name": task.baseline_name, field: list(task.baseline)} if task.baseline else None


def numbers(result: Result | None) -> dict[str, Any] | None:
    """A result as `results.json` has it, without the outputs; None for a part of the data that a run does not have."""
    if result is None:
        return None
    more: dict[str, Any] = {} if result.mean_overlap is None else {"mean_overlap": result.mean_overlap}
    if result.classes:
        more["classes"] = [own._asdict() for own in result.classes]
    if result.calibration:
        more["calibration"] = result.calibration._asdict()
    if result.members:
        more["members"] = [{"loss": loss, "score": score} for loss, score in result.members]
    return {"loss": result.loss, "score": result.score, **more}
