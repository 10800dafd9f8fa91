"""Pictures of series in a classification: the misclassified series, and the embeddings of all series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..arrays import Array
from ..tasks import Examples
from . import embeddings as vectors
from .style import CLASS_COLORS, MARKERS, TEST, TRAIN, WIDTH, label_grid, legend_label, png, short

SHOWN = 12
COLUMNS = 2
# The largest number of classes that a legend has room for.
MAX_CLASSES_IN_LEGEND = 20
# The filling of the marks of each part of the data.
FILLINGS: dict[str, dict[str, Any]] = {
    "training": {"fillstyle": "none", "alpha": 0.7},
    "validation": {"fillstyle": "left", "markerfacecoloralt": "none"},
    "test": {"fillstyle": "full", "markeredgewidth": 0, "alpha": 0.8},
}


def misclassified(
    training: Examples,
    classes: Sequence[str],
    part: str,
    examples: Examples,
    output: Array,
    unit: str = "standardized value",
) -> bytes:
    """The series misclassified by the largest margin, with the mean training series of both classes.

    `examples` are the part of the data that `part` names, `output` (n, classes) the network's outputs for them, and
    `unit` is the unit of the series.
    """
    x, y = examples.x, examples.y
    predicted = output.argmax(-1)
    wrong = most_wrong(output, y)
    picked = wrong[:SHOWN]
    rows = -(-len(picked) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 1.7 * rows + 1.0), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    means = {number: _mean(training.at(training.y == number)) for number in {*y[picked], *predicted[picked]}}
    for axes, index in zip(grid.flat, picked, strict=False):
        true, guess = int(y[index]), int(predicted[index])
        axes.plot(means[true], color=TRAIN, lw=1.1, ls="--")
        axes.plot(means[guess], color=TEST, lw=1.1, ls=":")
        own = slice(None if examples.lengths is None else examples.lengths[index])
        axes.plot(x[index, own, 0], color="black", lw=1.3)
        names = f"true {short(classes[true])}, predicted {short(classes[guess])}"
        axes.set_title(f"series {index + 1}\n{names}", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    label_grid(grid, len(picked), unit, size=8)
    styles = (("the series", "black", "-"), ("mean of its class", TRAIN, "--"), ("mean of the predicted", TEST, ":"))
    handles = [Line2D([], [], color=color, ls=style, label=word) for word, color, style in styles]
    shown = f"; the {SHOWN} most wrong" if len(wrong) > SHOWN else ""
    channel = "" if x.shape[-1] == 1 else "; their first channel"
    figure.suptitle(f"{len(wrong)} of the {len(y)} {part} series misclassified{shown}{channel}", fontsize=9)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return png(figure)


def _mean(examples: Examples) -> Array:
    """The mean of the first channel at each sample, without padding."""
    values = examples.x[..., 0]
    if examples.lengths is None:
        return values.mean(axis=0)
    kept = np.arange(max(examples.lengths)) < examples.lengths[:, None]
    return values[:, : kept.shape[1]].mean(axis=0, where=kept)


def most_wrong(output: Array, labels: Array) -> Array:
    """The indices of the misclassified series, by decreasing margin.

    The margin is the output of the predicted class minus the output of the true class.

    >>> most_wrong(np.array([[0.0, 1.0], [1.0, 0.0], [9.0, 0.0]]), np.array([0, 0, 1]))
    array([2, 0])
    """
    predicted = output.argmax(-1)
    wrong = np.flatnonzero(predicted != labels)
    margins = output[wrong, predicted[wrong]] - output[wrong, labels[wrong]]
    return wrong[np.argsort(-margins, kind="stable")]


def embeddings(points: dict[str, Array], labels: dict[str, Array], classes: Sequence[str]) -> bytes:
    """Each series as a point: the input of the last layer, projected on the plane of largest training variance.

    `points` are (n, features) and `labels` (n,) for each part of the data. A class has its own color and mark, a part
    its filling.
    """
    center, axes, shares = vectors.plane(points["training"][vectors.spread(len(points["training"]))])
    few = len(classes) <= MAX_CLASSES_IN_LEGEND
    figure = Figure(figsize=(WIDTH, 5.4 + 0.25 * (-(-len(classes) // 3) if few else 0)), layout="constrained")
    place = figure.subplots()
    for part, own in points.items():
        picked = vectors.spread(len(own))
        at, kinds = (own[picked] - center) @ axes.T, labels[part][picked]
        for number in np.unique(kinds):
            place.plot(*at[kinds == number].T, ls="", ms=6, **_mark(number), **FILLINGS[part])
    place.set(xlabel=f"first principal component ({shares[0]:.0%} of the variance)")
    place.set(ylabel=f"second principal component ({shares[1]:.0%} of the variance)")
    place.grid(alpha=0.3)
    mark = {"color": "black", "marker": "o"}
    handles = [Line2D([], [], ls="", label=part, **mark, **FILLINGS[part]) for part in points]
    if few:
        handles += [
            Line2D([], [], ls="", label=legend_label(name), **_mark(number)) for number, name in enumerate(classes)
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)), frameon=False, fontsize=8)
    return png(figure)


def _mark(number: int) -> dict[str, Any]:
    return {"color": CLASS_COLORS[number % len(CLASS_COLORS)], "marker": MARKERS[number % len(MARKERS)]}
