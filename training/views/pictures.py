"""The pictures of a run, as the bytes of PNG files.

Figures are made without `pyplot`, so that nothing depends on a display or on what else the process draws.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jconv.layers import Dense, GlobalAveragePooling1D

from ..core.learner import Row
from ..networks import variable_length
from ..tasks import Examples, Task

Array = np.ndarray[Any, Any]
Tree = dict[str, dict[str, Any]]

TRAIN, TEST, VALIDATION, FAINT = "#1f5fa8", "#d1661f", "#3a8f4d", "#999999"
COLORS = "coolwarm"
# A choice by the test curve makes the test score too good.
TEST_WITHOUT_VALIDATION = "test (no validation set: do not choose by it)"
MOST_CLASSES = 6
SERIES_A_CLASS = 3


def learning_curves(rows: Sequence[Row], task: Task) -> bytes:
    """Loss and score over the epochs, of each set.

    Without a validation set the legend says that the test curve must not be used for choices.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row.epoch for row in rows]
    for axes, field, word in ((left, "loss", "loss"), (right, "score", task.score_name.replace("_", " "))):
        axes.plot(epochs, [getattr(row, f"train_{field}") for row in rows], color=TRAIN, lw=1.2, label="training")
        test = TEST_WITHOUT_VALIDATION if all(row.validation_loss is None for row in rows) else "test"
        for part, color, label in (("validation", VALIDATION, "validation"), ("test", TEST, test)):
            found = [(row.epoch, getattr(row, f"{part}_{field}")) for row in rows]
            found = [(epoch, value) for epoch, value in found if value is not None]
            if found:
                axes.plot(*zip(*found, strict=True), color=color, lw=1.2, marker=".", ms=4, label=label)
        axes.set(xlabel="epoch", ylabel=word)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    left.set_yscale("log")
    if task.classes:
        right.set_ylim(-0.02, 1.02)
    if task.baseline:
        of = left if task.baseline_of == "loss" else right
        of.axhline(task.baseline[-1], color=FAINT, ls="--", lw=1, label=task.baseline_name)
        of.legend(frameon=False)
    left.legend(frameon=False)
    return png(figure)


def confusion_matrix(
    labels: Array, predicted: Array, classes: Sequence[str], part: str, counted: str = "series"
) -> bytes:
    """How many of each class (row) were taken for each class (column); labels and predictions are (n,)."""
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, predicted), 1)
    side = min(3.2 + 0.45 * len(classes), 14)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
    places, names = range(len(classes)), [short(name, 24) for name in classes]
    axes.set_xticks(places, names, rotation=0 if len(classes) <= 4 and max(map(len, names)) <= 10 else 90)
    axes.set_yticks(places, names)
    right = int(np.trace(counts))
    axes.set(xlabel="predicted", ylabel="true", title=f"{part} {counted}: {right} of {len(labels)} right")
    return png(figure)


def class_activation_map(task: Task, params: Tree, state: Tree, examples: Examples) -> bytes:
    """Where in time the network sees a class: the map of Zhou et al. (2016) over a few series a class.

    The map of class c at sample t is the last feature map times the dense kernel's column c, whose mean over time,
    plus the bias, is the class's logit. Each series is drawn in the colors of its own class's map.
    """
    x, y, lengths = examples
    shown = [number for number in range(len(task.classes)) if (y == number).any()][:MOST_CLASSES]
    picked = [np.flatnonzero(y == number)[:SERIES_A_CLASS] for number in shown]
    drawn = examples.at(np.concatenate(picked))
    maps, logits = activation_maps(task, params, state, drawn.x, drawn.lengths)
    found = iter(zip(maps, logits, strict=True))
    own = np.concatenate([[number] * len(indices) for number, indices in zip(shown, picked, strict=True)])
    # Not the largest value: the ends of a series, next to the padding, would make all else pale.
    evidence = np.abs(maps[np.arange(len(own)), :, own])
    if drawn.lengths is not None:
        evidence = evidence[np.arange(x.shape[1]) < drawn.lengths[:, None]]
    limit = float(np.quantile(evidence, 0.99)) or 1.0
    scale = Normalize(-limit, limit)
    figure = Figure(figsize=(3.4 * SERIES_A_CLASS + 1, 2.1 * len(shown) + 0.5), layout="constrained")
    grid = figure.subplots(len(shown), SERIES_A_CLASS, squeeze=False, sharex=True, sharey=True)
    for row, number, indices in zip(grid, shown, picked, strict=True):
        for axes in row[len(indices) :]:
            axes.set_axis_off()
        for axes, index in zip(row, indices, strict=False):
            map_, logit = next(found)
            samples = slice(None if lengths is None else lengths[index])
            _colored_line(axes, x[index, samples, 0], map_[samples, number], scale)
            guess = int(logit.argmax())
            verdict = "" if guess == number else f", taken for {short(task.classes[guess])}"
            axes.set_title(f"{short(task.classes[number])}, series {index + 1}{verdict}", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("sample")
    for axes in grid[:, 0]:
        axes.set_ylabel("standardized value", fontsize=8)
    bar = figure.colorbar(ScalarMappable(scale, COLORS), ax=grid, shrink=0.8, pad=0.01, extend="both")
    bar.set_label("evidence for the series' own class")
    return png(figure)


def has_activation_maps(task: Task) -> bool:
    """Whether the network ends in the mean over time and one dense layer, so that there are maps to draw."""
    nodes = {node.name: node for node in task.model.nodes}
    last = nodes[task.model.outputs[0]]
    before = nodes.get(last.inputs[0])
    return (
        type(last.layer) is Dense
        and last.layer.activation in (None, "linear", "softmax")
        and before is not None
        and isinstance(before.layer, GlobalAveragePooling1D)
        and len(before.inputs) == 1
    )


def activation_maps(
    task: Task, params: Tree, state: Tree, x: Array, lengths: Array | None = None
) -> tuple[Array, Array]:
    """`(maps, logits)`, (n, length, classes) and (n, classes), of x (n, length, channels) and its `lengths` (n,)."""
    nodes = {node.name: node for node in task.model.nodes}
    dense = nodes[task.model.outputs[0]]
    pool = nodes[dense.inputs[0]]
    kernel = np.asarray(params[dense.key]["kernel"])
    values, _ = variable_length.values(task.model, params, state, x.astype(kernel.dtype), lengths)
    return np.asarray(values[pool.inputs[0]]) @ kernel, np.asarray(values[dense.name])


def predictions(task: Task, examples: Examples, output: Array, part: str) -> bytes:
    """Six windows spread over the set, what followed each and what was forecast, `output` as the targets are.

    Of several channels the first that is forecast is shown.
    """
    assert task.forecast_target is not None
    x, y, _ = examples
    horizon, (channel, *_) = task.forecast_target
    window = x.shape[1]
    y, output = (array.reshape(len(x), -1, horizon)[:, 0] for array in (y, output))
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    past, future = np.arange(window), np.arange(window, window + horizon)
    for axes, index in zip(grid.flat, np.linspace(0, len(x) - 1, 6).astype(int), strict=True):
        axes.plot(past, x[index, :, channel], color=FAINT, lw=1.2, label="input")
        axes.plot(future, y[index], color=TRAIN, lw=1.6, label="what followed")
        axes.plot(future, output[index], color=TEST, lw=1.6, ls="--", label="forecast")
        last = [x[index, -1, channel]] * 2
        axes.plot(future[[0, -1]], last, color="black", lw=0.8, ls=":", label=task.baseline_name)
        axes.set_title(f"{part} window {index + 1}", fontsize=9)
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("sample")
    for axes in grid[:, 0]:
        axes.set_ylabel("standardized value", fontsize=8)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return png(figure)


def predicted_over_true(task: Task, examples: Examples, output: Array, part: str) -> bytes:
    """What was predicted over what is true, in the target's own unit; `output` is (n, 1)."""
    assert task.target_scaling is not None
    true, predicted = (task.target_scaling.mean + task.target_scaling.deviation * a[:, 0] for a in (examples.y, output))
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.subplots()
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color=FAINT, lw=1, label="right")
    axes.axhline(task.target_scaling.mean, color="black", lw=0.8, ls=":", label="training mean")
    axes.plot(true, predicted, color=TRAIN, ls="", marker="o", ms=4, alpha=0.6, label="series")
    error = np.abs(predicted - true).mean()
    axes.set(xlabel="true", ylabel="predicted", title=f"{len(true)} {part} series: mean absolute error {error:.3g}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png(figure)


def _colored_line(axes: Any, values: Array, colors: Array, scale: Normalize) -> None:
    points = np.stack([np.arange(len(values)), values], axis=1)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    line = LineCollection(list(segments), cmap=COLORS, norm=scale, lw=2.2, zorder=3, capstyle="round")
    line.set_array((colors[:-1] + colors[1:]) / 2)
    # A dark edge, so that samples of no evidence, which are nearly white, are seen.
    axes.plot(values, color="#555555", lw=3.6, solid_capstyle="round")
    axes.add_collection(line)


def short(name: str, most: int = 14) -> str:
    """The name of a class for a picture: not too long, and as it is, since between two dollars would be mathematics.

    >>> short("5$ or 10$ a day")
    '5\\\\$ or 10\\\\$ a d…'
    """
    name = name if len(name) <= most else name[: most - 1] + "…"
    return name.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
