"""Learning curves of one run: loss, score and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..arrays import Array
from ..core.learner import Row
from ..tasks import Task
from .style import FAINT, TEST, TRAIN, VALIDATION, WIDTH, log_scale, png

# Choosing by the test curve would make the test score too good.
TEST_WITHOUT_VALIDATION = "test (no validation set: do not choose by it)"
# A curve is smoothed by the mean over this fraction of its points; one of fewer than 10 points is not.
SMOOTHED, FEWEST = 0.05, 10


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
