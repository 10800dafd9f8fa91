"""The picture of a run: the speed of jconv relative to others, a line for each row, on a logarithmic axis.

It is made without `pyplot`, so that nothing depends on a display.
"""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .programs import FORWARD, GRADIENTS, LAX, SCAN_GRADIENTS
from .summary import BEST_OTHER, Result, geometric_mean, ratio

COLORS = {LAX: "#1f5fa8", BEST_OTHER: "#d1661f"}
NAMES = {LAX: "plain lax / jconv", BEST_OTHER: "best of PyTorch and ONNX Runtime / jconv"}
PANELS = {FORWARD: "forward", GRADIENTS: "with both gradients", SCAN_GRADIENTS: "gradients in a scan"}
CROWDED = 300
"""The range of an axis from which only powers of ten are labelled."""
ROW_HEIGHT, MARGIN = 0.21, 1.7


def speedups(record: dict[str, Any]) -> bytes:
    """A PNG of the ratios of each row for three programs: to lax, and to the best other library if there is one."""
    results: list[Result] = record["rows"]
    figure = Figure(figsize=(13, MARGIN + ROW_HEIGHT * len(results)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True, squeeze=False)[0]
    for axes, program in zip(panels, PANELS, strict=True):
        _panel(axes, results, program)
    panels[0].set_yticks(range(len(results)), [result["row"]["name"] for result in results], fontsize=8)
    panels[0].set_ylim(len(results) - 0.4, -0.6)
    for y, result in enumerate(results):
        if y and result["row"]["family"] != results[y - 1]["row"]["family"]:
            for axes in panels:
                axes.axhline(y - 0.5, color="#bbbbbb", lw=0.6)
    where = record["where"]
    figure.suptitle(
        f"times as fast as the other, by the ratio of medians: right of 1, jconv is faster\n{where['cpu']}, "
        f"{where['cores']} cores, on {where['device']}, JAX {where['versions'].get('jax', '')}, {where['date'][:10]}",
        fontsize=10,
    )
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()


def _panel(axes: Axes, results: list[Result], program: str) -> None:
    means = []
    for other, offset in ((LAX, -0.16), (BEST_OTHER, 0.16)):
        known = [(value, y) for y, result in enumerate(results) if (value := ratio(result, program, other)) is not None]
        if not known and other != LAX:
            continue
        values = [value for value, _ in known]
        places = [y + offset for _, y in known]
        axes.hlines(places, 1, values, color=COLORS[other], lw=1.1, alpha=0.45)
        axes.plot(values, places, "o", ms=4, color=COLORS[other], label=NAMES[other])
        if known:
            means.append(f"{geometric_mean(values):.2f}x {other}")
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    # More labels would overlap.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < CROWDED * low else (1,), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(f"{PANELS[program]}\ngeometric mean {', '.join(means) or 'unknown'}", fontsize=9)
