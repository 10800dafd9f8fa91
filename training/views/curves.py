"""Learning curves: of one run, with the learning rate, and of several runs in one picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..arrays import Array
from ..core.learner import Row
from ..tasks import Task
from .style import FAINT, TEST, TRAIN, VALIDATION, WIDTH, legend_label, log_scale, png

# Choosing by the test curve would make the test score too good.
TEST_WITHOUT_VALIDATION = "test (no validation set: do not choose by it)"
# A curve is smoothed by the mean over this fraction of its points; one of fewer than 10 points is not.
SMOOTHED, FEWEST = 0.05, 10
# The labels and lines of `curves_of_runs`.
LABELS = {"train": "training", "validation": "validation", "test": TEST_WITHOUT_VALIDATION}
STYLES: dict[str, dict[str, Any]] = {
    "train": {"lw": 1.0, "alpha": 0.55},
    "validation": {"lw": 2.0},
    "test": {"lw": 1.4, "ls": "--"},
}

Curves = Mapping[str, Sequence[float | None]]
"""The columns of `metrics.csv` by their heads."""


def learning_curves(rows: Sequence[Row], task: Task, best: int | None = None, watched: str = "training") -> bytes:
    """Loss and score of each part of the data, smoothed over the raw values, and the learning rate.

    `best` is the epoch with the lowest `watched` loss. Without a validation set the legend says that the test curve
    must not be used for choices.
    """
    figure = Figure(figsize=(WIDTH, 8.0), layout="constrained")
    losses, scores, rates = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.6))
    test = TEST_WITHOUT_VALIDATION if all(row.validation_loss is None for row in rows) else "test"
    parts = (("train", TRAIN, "training"), ("validation", VALIDATION, "validation"), ("test", TEST, test))
    for axes, field in ((losses, "loss"), (scores, "score")):
        for part, color, label in parts:
            values = [(row.epoch, getattr(row, f"{part}_{field}")) for row in rows]
            points = np.array([pair for pair in values if pair[1] is not None], float)
            if len(points):
                _smoothed_line(axes, points[:, 0], points[:, 1], color, label)
    rates.plot([row.epoch for row in rows], [row.learning_rate for row in rows], color="black", lw=1.4, label="rate")
    losses.set(ylabel="loss")
    log_scale(losses)
    scores.set(ylabel=task.score_name.replace("_", " "))
    rates.set(ylabel="learning rate", xlabel="epoch", ylim=(0, None))
    if task.classes:
        scores.set_ylim(-0.02, 1.02)
    if task.baseline:
        axes = losses if task.baseline_of == "loss" else scores
        axes.axhline(task.baseline[-1], color=FAINT, ls="--", lw=1.2, label=task.baseline_name)
    for axes in (losses, scores, rates):
        if best is not None:
            axes.axvline(best, color="black", ls=":", lw=1.2, label=f"epoch {best}: lowest {watched} loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, framealpha=0.7, edgecolor="none")
    return png(figure)


def _smoothed_line(axes: Any, epochs: Array, values: Array, color: str, label: str) -> None:
    if len(values) < FEWEST:
        axes.plot(epochs, values, color=color, lw=1.4, marker=".", ms=5, label=label)
        return
    axes.plot(epochs, values, color=color, lw=0.8, alpha=0.35)
    axes.plot(epochs, smoothed(values), color=color, lw=1.6, label=f"{label}, smoothed")


def smoothed(values: Array) -> Array:
    """The running mean of values (n,), over fewer of them at both ends.

    >>> smoothed(np.array([0.0] * 10 + [1.0] * 10 + [0.0] * 10))[8:12].round(2)
    array([0.  , 0.33, 0.67, 1.  ])
    """
    half = max(1, round(len(values) * SMOOTHED / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    # The same number of values on both sides, so that the ends are not biased.
    reach = np.minimum(half, np.minimum(places, places[::-1]))
    return (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)


def is_validated(run: Curves) -> bool:
    """Whether a run has a validation curve."""
    return any(value is not None for value in run.get("validation_loss", ()))


def curves_of_runs(runs: Mapping[str, Curves], scores: Collection[str], form: str) -> bytes:
    """Loss and score over the epochs, a color for each run, as an image file of the format `form`.

    Training curves are thin, validation curves thick. A run without a validation set has its test curve instead,
    dashed, and the legend says that it must not be used for choices. `runs` has the columns of each run's
    `metrics.csv`: `epoch`, `train_loss`, `train_score` and so on. `scores` are the names of the scores.
    """
    height = 3.8 + 0.22 * len(runs)
    figure = Figure(figsize=(9, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    colors = colormaps["tab10"] if len(runs) <= 10 else colormaps["turbo"].resampled(len(runs))
    words = ", ".join(sorted(score.replace("_", " ") for score in scores))
    drawn = set[str]()
    for axes, field, word in ((left, "loss", "loss"), (right, "score", words)):
        for number, run in enumerate(runs.values()):
            for part in ("train", "validation" if is_validated(run) else "test"):
                pairs = zip(run["epoch"], run[f"{part}_{field}"], strict=True)
                points = [(epoch, value) for epoch, value in pairs if value is not None]
                if points:
                    drawn.add(part)
                    axes.plot(*zip(*points, strict=True), color=colors(number), **STYLES[part])
        axes.set(xlabel="epoch", ylabel=word)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    log_scale(left)
    handles = [Line2D([], [], color=FAINT, label=LABELS[part], **STYLES[part]) for part in LABELS if part in drawn]
    handles += [Line2D([], [], color=colors(n), lw=2, label=legend_label(name, 70)) for n, name in enumerate(runs)]
    columns = 1 if max(map(len, runs)) > 40 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    return png(figure, form)
