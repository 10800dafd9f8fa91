"""What `training.fit` prints: a summary at the start, the result of the proof, and why training ended early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Tree
from ..core import stopping
from ..core.learner import Row
from ..core.plan import Plan
from ..data.datasets import Dataset
from ..proof.proof import THRESHOLD, Proof
from ..tasks import Task
from ..tasks.metrics import Calibration, ClassScores


class Result(NamedTuple):
    """The trained model on one part of the data: loss, score, and outputs (n, ...).

    `mean_overlap` is for segmentation, `classes` and `calibration` are for tasks with classes, and `members` has the
    loss and score of each network of an ensemble.
    """

    loss: float
    score: float
    output: np.ndarray[Any, Any]
    mean_overlap: float | None = None
    members: tuple[tuple[float, float], ...] = ()
    classes: tuple[ClassScores, ...] = ()
    calibration: Calibration | None = None


def start_summary(
    data: Dataset, task: Task, model: str, params: Tree, held_out: Dataset | None = None, members: int = 1
) -> str:
    """The data and the model of a run; the test set of `held_out` is the validation set."""
    size = sum(array.size for own in params.values() for array in own.values())
    several = f", {members} members" if members > 1 else ""
    lines = [data_line(data, _target_text(data, task), held_out), f"model      {model}{several}, {size:,} parameters"]
    return "\n".join([*lines, *([f"start      {task.pretrained.description}"] if task.pretrained else [])])


def data_line(data: Dataset, target: str, held_out: Dataset | None = None) -> str:
    """The line about the series of a run, which ends with `target`: the classes, the targets, or the task."""
    count, length, channels = data.x_train.shape
    test = "no test series" if data.x_test is None else f"{len(data.x_test)} test series"
    validation = ""
    if held_out is not None and held_out.x_test is not None:
        validation_length = held_out.x_test.shape[1]
        validation = f", {len(held_out.x_test)} validation"
        if validation_length != length and data.lengths_train is None:
            validation += f" (the {validation_length} samples after it)"
    series = f"{count} training{validation} and {test} of {shortest(data)}{length} samples"
    return f"data       {data.name}: {series}, {channels} channel{'s' if channels > 1 else ''}, {target}"


def _target_text(data: Dataset, task: Task) -> str:
    if task.classes:
        return f"{len(task.classes)} classes"
    if task.kind == "forecast":
        return f"{len(task.train.x)} training windows"
    if task.target_scaling is None or data.targets_train is None:
        return "to denoise"
    return f"targets from {data.targets_train.min():g} to {data.targets_train.max():g}"


def shortest(data: Dataset) -> str:
    """Text to put before the length of the longest series: "N to ", with the shortest length N, if lengths differ."""
    lengths = [own.min() for own in (data.lengths_train, data.lengths_test) if own is not None]
    return f"{min(lengths)} to " if lengths else ""


def proof_line(proof: Proof) -> str:
    """The result of the gradient proof, with every deviation above the threshold."""
    failures = proof.failures()
    if failures:
        lines = [f"gradients  NOT proved, these deviate by more than {THRESHOLD:.0e}:"]
        return "\n".join(lines + [f"           {value:.1e}  {what}" for what, value in failures.items()])
    return f"gradients  {worst_line(*proof.worst())}; {len(proof.deviations())} checks below {THRESHOLD:.0e}"


def early_stopping_line(plan: Plan, rows: Sequence[Row]) -> str:
    """The line about early stopping."""
    best, epochs = stopping.best_epoch(plan, rows), plan.early_stopping
    reason = f"no lower {plan.watch} loss for {epochs} epoch{'' if epochs == 1 else 's'}"
    kept = "initial params, since no loss was finite," if best is None else f"params of epoch {best}"
    return f"stopped    after epoch {len(rows)} of {plan.epochs}: {reason}; the {kept} were kept"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """The lines of a table. Columns are aligned to the right, those with an index in `left` to the left.

    >>> print(*aligned([["fold", "loss"], ["1", "0.5"]], left=[0]), sep="\\n")
    fold  loss
    1      0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if index in left else str.rjust for index in range(len(widths))]
    return ["  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)) for row in rows]


def worst_line(of: str, deviation: float) -> str:
    """The largest deviation, and the name of the loss, tensor or layer that has it."""
    return f"worst relative deviation {deviation:.1e} ({of})"
