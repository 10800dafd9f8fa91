"""Pictures of networks with outputs for each sample: denoised series, and segmented series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..arrays import Array
from ..tasks import Examples, Task
from .series_pictures import MAX_CLASSES_IN_LEGEND
from .style import FAINT, TEST, TRAIN, WIDTH, class_colors, label_grid, legend_label, png

ROWS, COLUMNS = 3, 2


def denoised(examples: Examples, output: Array, part: str) -> bytes:
    """Six series spread over the set: noisy, clean, and denoised (`output`); of several channels the first."""
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    grid = figure.subplots(ROWS, COLUMNS, sharex=True, sharey=True)
    for axes, index, own in _shown(grid, examples, "standardized value"):
        axes.plot(examples.x[index, own, 0], color=FAINT, lw=0.8, label="with noise")
        axes.plot(examples.y[index, own, 0], color=TRAIN, lw=1.6, label="clean")
        axes.plot(output[index, own, 0], color=TEST, lw=1.4, ls="--", label="denoised")
        axes.set_title(f"{part} series {index + 1}", fontsize=9)
        axes.grid(alpha=0.3)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return png(figure)


def segmented(task: Task, examples: Examples, output: Array, part: str) -> bytes:
    """Six series spread over the set, above strips of the true and the predicted class of each sample.

    `output` is (n, length, classes). Of several channels the first is shown.
    """
    predicted = output.argmax(-1)
    colors = class_colors(len(task.classes))
    figure = Figure(figsize=(WIDTH, 7.2), layout="constrained")
    grid = figure.subplots(ROWS, COLUMNS, sharex=True, sharey=True)
    lowest, highest = examples.x[..., 0].min(), examples.x[..., 0].max()
    step = 0.09 * (highest - lowest)
    places = {"predicted": lowest - 2.4 * step, "true": lowest - 1.2 * step}
    for axes, index, own in _shown(grid, examples):
        axes.plot(examples.x[index, own, 0], color="black", lw=1.1)
        for word, labels in (("true", examples.y), ("predicted", predicted)):
            strip = labels[index, own]
            extent = (-0.5, len(strip) - 0.5, places[word] - step / 2, places[word] + step / 2)
            axes.imshow(
                strip[None], ListedColormap(colors), vmin=-0.5, vmax=len(colors) - 0.5, extent=extent, aspect="auto"
            )
        correct = np.mean(predicted[index, own] == examples.y[index, own])
        axes.set_title(f"{part} series {index + 1}: {correct:.0%} correct", fontsize=9)
        axes.set_ylim(places["predicted"] - step, highest + step / 2)
        axes.set_xlim(-0.5, examples.x.shape[1] - 0.5)
        axes.set_yticks(list(places.values()), list(places))
    if len(task.classes) <= MAX_CLASSES_IN_LEGEND:
        pairs = zip(colors, task.classes, strict=True)
        handles = [Patch(color=color, label=legend_label(name)) for color, name in pairs]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    return png(figure)


def _shown(grid: Any, examples: Examples, unit: str = "") -> Iterator[tuple[Any, int, slice]]:
    """Axes, index and samples (without padding) of each series that is shown; unused axes are switched off."""
    count = min(grid.size, len(examples.x))
    label_grid(grid, count, unit)
    for axes, index in zip(grid.flat, np.linspace(0, len(examples.x) - 1, count).astype(int), strict=False):
        yield axes, int(index), slice(None if examples.lengths is None else examples.lengths[index])
