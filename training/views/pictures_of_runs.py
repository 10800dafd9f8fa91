"""The curves of several runs over each other."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .pictures import FAINT, short

Curves = Mapping[str, Sequence[float | None]]


def curves(runs: Mapping[str, Curves], scores: Collection[str], form: str) -> bytes:
    """Loss and score over the epochs, a color a run, training thin and test thick; an image file of `form`.

    The curves of a run are `epoch`, and of training and test `train_loss`, `train_score`, `test_loss` and
    `test_score`, with None where the test set was not evaluated. `scores` are the names of the scores.
    """
    height = 3.8 + 0.22 * len(runs)
    figure = Figure(figsize=(9, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    colors = colormaps["tab10"] if len(runs) <= 10 else colormaps["turbo"].resampled(len(runs))
    words = ", ".join(sorted(score.replace("_", " ") for score in scores))
    for axes, field, word in ((left, "loss", "loss"), (right, "score", words)):
        for number, run in enumerate(runs.values()):
            for part, width, strength in (("train", 1.0, 0.55), ("test", 2.0, 1.0)):
                pairs = zip(run["epoch"], run[f"{part}_{field}"], strict=True)
                points = [(epoch, value) for epoch, value in pairs if value is not None]
                if points:
                    axes.plot(*zip(*points, strict=True), color=colors(number), lw=width, alpha=strength)
        axes.set(xlabel="epoch", ylabel=word)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    left.set_yscale("log")
    handles = [Line2D([], [], color=FAINT, lw=width, label=part) for part, width in (("training", 1.0), ("test", 2.0))]
    # The space, since Matplotlib leaves labels that begin with an underscore out of legends.
    handles += [Line2D([], [], color=colors(n), lw=2, label=f" {short(name, 70)}") for n, name in enumerate(runs)]
    columns = 1 if max(map(len, runs)) > 40 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=120)
    return content.getvalue()
