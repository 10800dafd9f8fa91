"""The pictures of a run that show single series: those that were taken for another class, and where each lies.

They are narrow, so that they can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..tasks import Examples, Task
from . import embeddings as vectors
from .pictures import FAINT, TEST, TRAIN, png, short

Array = np.ndarray[Any, Any]

SHOWN = 12
COLUMNS = 3
# More classes than this share colors that cannot be told apart, and get no legend.
MOST_CLASSES = 20
# Of the points of each part of the data.
LOOKS: dict[str, dict[str, Any]] = {
    "training": {"marker": "o", "facecolors": "none", "s": 30},
    "validation": {"marker": "^", "facecolors": "none", "s": 30},
    "test": {"marker": ".", "s": 56, "lw": 0},
}


def misclassified(task: Task, part: str, examples: Examples, output: Array) -> bytes:
    """The series whose guess is most wrong, over the mean training series of both classes; `output` is (n, classes)."""
    x, y = examples.x, examples.y
    guessed = output.argmax(-1)
    wrong = most_wrong(output, y)
    picked = wrong[:SHOWN]
    rows = -(-len(picked) // COLUMNS)
    figure = Figure(figsize=(8, 1.9 * rows + 1.0), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(picked) :]:
        axes.set_axis_off()
    means = {number: _mean(task.train.at(task.train.y == number)) for number in {*y[picked], *guessed[picked]}}
    for axes, index in zip(grid.flat, picked, strict=False):
        true, guess = int(y[index]), int(guessed[index])
        axes.plot(means[true], color=TRAIN, lw=1.1, ls="--")
        axes.plot(means[guess], color=TEST, lw=1.1, ls=":")
        own = slice(None if examples.lengths is None else examples.lengths[index])
        axes.plot(x[index, own, 0], color="black", lw=1.3)
        axes.set_title(f"{index + 1}: {short(task.classes[true])}, taken for {short(task.classes[guess])}", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in grid.flat[: len(picked)][-COLUMNS:]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("sample", fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("standardized value", fontsize=8)
    styles = (("the series", "black", "-"), ("mean of its class", TRAIN, "--"), ("mean of the guess", TEST, ":"))
    handles = [Line2D([], [], color=color, ls=style, label=word) for word, color, style in styles]
    shown = f"; the {SHOWN} most wrong" if len(wrong) > SHOWN else ""
    channel = "" if x.shape[-1] == 1 else "; their first channel"
    figure.suptitle(f"{len(wrong)} of the {len(y)} {part} series misclassified{shown}{channel}", fontsize=10)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return png(figure)


def _mean(examples: Examples) -> Array:
    """The mean of the first channel at each sample that one of the series has."""
    values = examples.x[..., 0]
    if examples.lengths is None:
        return values.mean(axis=0)
    kept = np.arange(max(examples.lengths)) < examples.lengths[:, None]
    return values[:, : kept.shape[1]].mean(axis=0, where=kept)


def most_wrong(output: Array, labels: Array) -> Array:
    """The numbers of the series that are taken for another class, the most wrong first.

    How wrong is by how much the output of the guess is larger than that of the true class.

    >>> most_wrong(np.array([[0.0, 1.0], [1.0, 0.0], [9.0, 0.0]]), np.array([0, 0, 1]))
    array([2, 0])
    """
    guessed = output.argmax(-1)
    wrong = np.flatnonzero(guessed != labels)
    margins = output[wrong, guessed[wrong]] - output[wrong, labels[wrong]]
    return wrong[np.argsort(-margins, kind="stable")]


def embeddings(points: dict[str, Array], labels: dict[str, Array], classes: Sequence[str]) -> bytes:
    """Each series as a point, by what the last layer reads of it, in the plane where the training series spread most.

    `points` are (n, features) and `labels` (n,) by the part of the data.
    """
    center, axes, shares = vectors.plane(points["training"][vectors.spread(len(points["training"]))])
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    place = figure.subplots()
    colors = class_colors(len(classes))
    for part, own in points.items():
        picked = vectors.spread(len(own))
        at = (own[picked] - center) @ axes.T
        place.scatter(*at.T, **LOOKS[part], **{"c" if part == "test" else "edgecolors": colors[labels[part][picked]]})
    place.set(xlabel=f"{shares[0]:.0%} of the variance", ylabel=f"{shares[1]:.0%} of the variance")
    place.grid(alpha=0.3)
    fills = {part: FAINT if part == "test" else "none" for part in points}
    handles = [
        Line2D([], [], color=FAINT, marker=LOOKS[part]["marker"], mfc=fill, ls="", label=part)
        for part, fill in fills.items()
    ]
    if len(classes) <= MOST_CLASSES:
        pairs = zip(colors, classes, strict=True)
        # The space, since Matplotlib leaves labels that begin with an underscore out of legends.
        handles += [Line2D([], [], color=color, marker="s", ls="", label=f" {short(name)}") for color, name in pairs]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False, fontsize=8)
    return png(figure)


def class_colors(count: int) -> Array:
    """A color for each of so many classes."""
    if count <= 10:
        return np.array(colormaps["tab10"].colors)[:count]  # pyright: ignore[reportAttributeAccessIssue]
    if count <= MOST_CLASSES:
        return np.array(colormaps["tab20"].colors)[:count]  # pyright: ignore[reportAttributeAccessIssue]
    return colormaps["turbo"](np.linspace(0, 1, count))
