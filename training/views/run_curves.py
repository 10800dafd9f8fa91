"""The learning curves of several runs in one picture: training, and validation where a run has it, else test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .curves import TEST_WITHOUT_VALIDATION
from .style import FAINT, legend_label, log_scale, png

Curves = Mapping[str, Sequence[float | None]]

LABELS = {"train": "training", "validation": "validation", "test": TEST_WITHOUT_VALIDATION}
STYLES: dict[str, dict[str, Any]] = {
    "train": {"lw": 1.0, "alpha": 0.55},
    "validation": {"lw": 2.0},
    "test": {"lw": 1.4, "ls": "--"},
}


def is_validated(run: Curves) -> bool:
    """Whether a run has a validation curve."""
    return any(value is not None for value in run.get("validation_loss", ()))


def curves(runs: Mapping[str, Curves], scores: Collection[str], form: str) -> bytes:
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
