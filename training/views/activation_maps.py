"""Class activation maps: where in time a network sees a class (Zhou et al., Learning Deep Features, CVPR 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from jconv.layers import Dense, GlobalAveragePooling1D

from ..arrays import Array, Tree
from ..networks import variable_length
from ..tasks import Examples, Task
from .style import WIDTH, label_grid, png, short

COLORS = "coolwarm"
COLUMNS = 2
# Series of each class, fewer where a picture would become too long.
FEW_CLASSES, SERIES_OF_FEW, SERIES_OF_MANY = 6, 4, 2
# The largest number of channels that get a label each.
LABELED = 12


def class_activation_map(task: Task, params: Tree, state: Tree, examples: Examples) -> bytes:
    """A few series of each class, colored by the map of their true class.

    The map of class c at sample t is the last feature map times column c of the dense kernel; its mean over time, plus
    the bias, is the logit of the class. All channels are drawn, one above the other, with the same colors.
    """
    x, y, lengths = examples
    occurring = [number for number in range(len(task.classes)) if (y == number).any()]
    channels = x.shape[-1]
    each = SERIES_OF_FEW if len(occurring) <= FEW_CLASSES and channels == 1 else SERIES_OF_MANY
    picked = np.concatenate([np.flatnonzero(y == number)[:each] for number in occurring])
    shown = examples.at(picked)
    maps, logits = activation_maps(task, params, state, shown.x, shown.lengths)
    evidence = maps[np.arange(len(picked)), :, shown.y]
    valid = evidence if shown.lengths is None else evidence[np.arange(x.shape[1]) < shown.lengths[:, None]]
    # Not the largest value: the ends of a series, next to the padding, would make everything else pale.
    limit = float(np.quantile(np.abs(valid), 0.99)) or 1.0
    scale = Normalize(-limit, limit)
    rows, height = -(-len(picked) // COLUMNS), 1.6 if channels == 1 else min(1.0 + 0.25 * channels, 4.0)
    figure = Figure(figsize=(WIDTH, height * rows + 1.0), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(height * rows, 1.0))
    upper, lower = parts
    grid = upper.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    # Channels may overlap where one of them has rare peaks.
    low, high = np.quantile(shown.x, [0.005, 0.995])
    step = 0.0 if channels == 1 else float(high - low)
    for axes, number, series, own, logit, label in zip(
        grid.flat, picked, shown.x, evidence, logits, shown.y, strict=False
    ):
        samples = slice(None if lengths is None else lengths[number])
        for channel in range(channels):
            _colored_line(axes, series[samples, channel] - channel * step, own[samples], scale)
        predicted = int(logit.argmax())
        verdict = "✓" if predicted == label else "✗"
        names = f"true {short(task.classes[label])}, predicted {short(task.classes[predicted])} {verdict}"
        axes.set_title(f"series {number + 1}\n{names}", fontsize=8)
        axes.tick_params(labelsize=8)
    if channels > 1:
        stride = -(-channels // LABELED)
        middle, numbers = (low + high) / 2, range(0, channels, stride)
        grid[0, 0].set_yticks([middle - number * step for number in numbers], [str(number + 1) for number in numbers])
    label_grid(grid, len(picked), "channel" if channels > 1 else "standardized value", size=8)
    place = lower.subplots()
    place.set_box_aspect(0.03)
    bar = figure.colorbar(ScalarMappable(scale, COLORS), cax=place, orientation="horizontal", extend="both")
    bar.set_label("map of the true class, in logits: red is evidence for the class, blue against it", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return png(figure)


def has_activation_maps(task: Task) -> bool:
    """Whether the network ends in the mean over time and one dense layer."""
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


def _colored_line(axes: Any, values: Array, colors: Array, scale: Normalize) -> None:
    points = np.stack([np.arange(len(values)), values], axis=1)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    line = LineCollection(list(segments), cmap=COLORS, norm=scale, lw=1.8, zorder=3, capstyle="round")
    line.set_array((colors[:-1] + colors[1:]) / 2)
    # A dark edge, so that nearly white segments remain visible.
    axes.plot(values, color="#555555", lw=3.0, solid_capstyle="round")
    axes.add_collection(line)
