"""Pictures of predicted numbers: forecasts, and the predictions of a regression."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..arrays import Array
from ..tasks import Examples, Task
from .style import FAINT, TEST, TRAIN, WIDTH, label_grid, png

ROWS, COLUMNS = 3, 2


def forecasts(task: Task, examples: Examples, output: Array, part: str) -> bytes:
    """Six windows spread over the set with their true and predicted continuation; of several channels the first."""
    assert task.forecast_target is not None
    x, y, _ = examples
    horizon, (channel, *_) = task.forecast_target
    window = x.shape[1]
    y, output = (array.reshape(len(x), -1, horizon)[:, 0] for array in (y, output))
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    grid = figure.subplots(ROWS, COLUMNS, sharex=True, sharey=True)
    past, future = np.arange(window), np.arange(window, window + horizon)
    for axes, index in zip(grid.flat, np.linspace(0, len(x) - 1, grid.size).astype(int), strict=True):
        axes.plot(past, x[index, :, channel], color=FAINT, lw=1.2, label="input")
        axes.plot(future, y[index], color=TRAIN, lw=1.6, label="true")
        axes.plot(future, output[index], color=TEST, lw=1.6, ls="--", label="forecast")
        last = [x[index, -1, channel]] * 2
        axes.plot(future[[0, -1]], last, color="black", lw=0.8, ls=":", label=task.baseline_name)
        axes.set_title(f"{part} window {index + 1}", fontsize=9)
        axes.grid(alpha=0.3)
    label_grid(grid, grid.size, "standardized value")
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=8
    )
    return png(figure)


def predicted_over_true(task: Task, examples: Examples, output: Array, part: str) -> bytes:
    """Predictions over true values, in the unit of the targets; `output` is (n, 1)."""
    assert task.target_scaling is not None
    scaling = task.target_scaling
    true, predicted = (scaling.mean + scaling.deviation * a[:, 0] for a in (examples.y, output))
    figure = Figure(figsize=(WIDTH - 0.4, 5.2), layout="constrained")
    axes = figure.subplots()
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color=FAINT, lw=1, label="correct")
    axes.axhline(scaling.mean, color="black", lw=0.8, ls=":", label="training mean")
    axes.plot(true, predicted, color=TRAIN, ls="", marker="o", ms=4, alpha=0.6, label="series")
    error = np.abs(predicted - true).mean()
    axes.set(xlabel="true", ylabel="predicted")
    axes.set_title(f"{len(true)} {part} series: mean absolute error {error:.3g}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png(figure)
