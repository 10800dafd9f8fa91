"""The results of a run: the content of `results.json`, which `--json` prints too, and the table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..core import stopping
from ..core.learner import Row
from ..core.plan import Plan
from ..tasks import Task
from ..views.report import Result, aligned, worst_line
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
    proof: dict[str, Any] | None,
    seconds: dict[str, float],
    began_after: int,
) -> dict[str, Any]:
    """Loss, scores and baseline on each part of the data, with epochs and seconds.

    `proof` has the largest deviation and the name of what has it, None if nothing was proved. `seconds` has the time of
    each stage of this process, which started after `began_after` epochs. The best epoch has the lowest value of the
    loss that the plan watches.
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
        "proof": proof,
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


def closing(results: dict[str, Any], has_gradients: bool = True) -> str:
    """The text at the end of a run with these results: a table, the proof of its gradients, the times and the files."""
    parts = [part for part in PARTS if results[part]]
    table = aligned([["", *parts], *result_rows(results, "mean overlap (IoU)")], left=[0])
    proof = worst_line(**results["proof"]) if results["proof"] else "not proved: --skip-proof"
    folder = Path(results["run"])
    files = ", ".join(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))
    return "\n".join(
        [
            "",
            *(f"  {line}" for line in table),
            "",
            *([f"gradients  {proof}"] if has_gradients else []),
            f"seconds    {sum(results['seconds'].values()):.1f} ({stages(results)})",
            f"files      {folder}: {files}",
        ]
    )


def result_rows(results: dict[str, Any], overlap: str) -> list[list[str]]:
    """Loss, score and more, with the baseline, of each part of the data; `overlap` is the name of the mean overlap."""
    parts = [results[part] for part in PARTS if results[part]]
    score = results["score_name"].replace("_", " ")
    fields = {"loss": "loss", score: "score"} | ({overlap: "mean_overlap"} if "mean_overlap" in parts[0] else {})
    rows = [[name, *(number_text(part[field]) for part in parts)] for name, field in fields.items()]
    for number, each in enumerate(zip(*(part.get("members", ()) for part in parts), strict=True), 1):
        rows.append([f"{score} of member {number}", *(number_text(own["score"]) for own in each)])
    if baseline := results["baseline"]:
        of, field = ("loss", "losses") if "losses" in baseline else (score, "scores")
        rows.append([f"{baseline['name']}, {of}", *map(number_text, baseline[field])])
    return rows


def stages(results: dict[str, Any]) -> str:
    """The seconds of each stage of a run."""
    return ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in results["seconds"].items())


def number_text(value: Any) -> str:
    """A number of `results.json` with four decimals; there it is text if it is not finite."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
