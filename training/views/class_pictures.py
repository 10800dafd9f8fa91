"""Pictures that summarize a classification: the confusion matrix and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..arrays import Array
from ..tasks.metrics import Calibration
from .style import FAINT, TEST, TRAIN, WIDTH, png, short

# The largest number of classes whose counts fit into the cells.
MAX_COUNTED_CLASSES = 20


def confusion_matrix(
    labels: Array, predicted: Array, classes: Sequence[str], part: str, counted: str = "series"
) -> bytes:
    """How many of each class (row) were predicted as each class (column); labels and predictions are (n,)."""
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, predicted), 1)
    many = len(classes) > MAX_COUNTED_CLASSES
    side = min(2.8 + 0.35 * len(classes), 12 if many else WIDTH)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    fraction = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
    size = 10 if len(classes) <= 8 else 7
    if not many:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if fraction[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=size)
    ticks, names = range(len(classes)), [short(name, 18) for name in classes]
    fits = len(classes) <= 4 and max(map(len, names)) <= 10
    axes.set_xticks(ticks, names, rotation=0 if fits else 90, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    correct = int(np.trace(counts))
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"{part}: {correct} of {len(labels)} {counted} correct", fontsize=10)
    return png(figure)


def reliability_diagram(calibration: Calibration, part: str) -> bytes:
    """Accuracy over the probability of the predicted class, in bins, and how many predictions each bin has."""
    figure = Figure(figsize=(WIDTH - 0.6, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, len(calibration.counts) + 1)
    has_any = np.array(calibration.counts) > 0
    centers, width = ((edges[1:] + edges[:-1]) / 2)[has_any], edges[1] * 0.92
    accuracies = np.array(calibration.accuracies)[has_any]
    upper.bar(centers, accuracies, width, color=TRAIN, label="accuracy of the predictions in the bin")
    upper.plot(
        np.array(calibration.confidences)[has_any], accuracies, "o", color=TEST, ms=5, label="at their mean probability"
    )
    upper.plot([0, 1], [0, 1], color=FAINT, ls="--", lw=1.2, label="perfectly calibrated")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.set_title(
        f"{part}: expected calibration error {calibration.error:.3f}\n"
        f"mean probability {calibration.confidence:.3f}, accuracy {calibration.accuracy:.3f}",
        fontsize=10,
    )
    # Below the axes, since bars may be anywhere in them.
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    lower.bar((edges[1:] + edges[:-1]) / 2, calibration.counts, width, color=FAINT)
    lower.set(xlabel="probability of the predicted class", ylabel="predictions")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return png(figure)
