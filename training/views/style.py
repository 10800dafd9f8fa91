"""The style of all pictures: size, colors, marks, and the conversion of a figure to a PNG file.

Figures are made without `pyplot`, so nothing depends on a display or on what else the process draws. They are narrow,
so that their text can be read on a phone. Colors are those of Okabe and Ito, which readers with color blindness can
distinguish; where there are more classes than colors, marks differ.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ..arrays import Array

# Inches, at 120 dots each.
WIDTH, DPI = 6.0, 120
TRAIN, VALIDATION, TEST, FAINT = "#0072B2", "#009E73", "#D55E00", "#999999"
CLASS_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# 13 marks and 7 colors have no common divisor, so 91 classes have different pairs of color and mark.
MARKERS = "o^sDvP*X<>hpd"


class PlainLog(LogFormatter):
    """Labels of a logarithmic axis as plain numbers, 0.6 and 2.28 and not 6 x 10^-1 and 2.28 x 10^0."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick; empty where there is no room."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def log_scale(axes: Any) -> None:
    """Make the vertical axis logarithmic."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainLog())
    axes.yaxis.set_minor_formatter(PlainLog())


def class_colors(count: int) -> Array:
    """A color for each class, (count, 4)."""
    if count <= len(CLASS_COLORS):
        return to_rgba_array(CLASS_COLORS[:count])
    return colormaps["tab20" if count <= 20 else "turbo"](np.arange(count) if count <= 20 else np.linspace(0, 1, count))


def label_grid(grid: Any, count: int, unit: str = "", size: float | None = None) -> None:
    """Label a grid of axes, of which the first `count` show a series each: samples below, the unit at the left.

    The other axes are switched off. `size` is the font size below, by default Matplotlib's.
    """
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, count - grid.shape[1]) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("sample", fontsize=size)
    for axes in grid[:, 0]:
        axes.set_ylabel(unit, fontsize=8)


def short(name: str, max_length: int = 14) -> str:
    """The name of a class for a picture: cut off, and with its dollar signs escaped, which enclose mathematics.

    >>> short("5$ or 10$ a day")
    '5\\\\$ or 10\\\\$ a d…'
    """
    name = name if len(name) <= max_length else name[: max_length - 1] + "…"
    return name.replace("$", r"\$")


def legend_label(name: str, max_length: int = 14) -> str:
    """`short` with a space in front: Matplotlib leaves labels that begin with an underscore out of legends."""
    return f" {short(name, max_length)}"


def png(figure: Figure, form: str = "png") -> bytes:
    """The figure as the bytes of an image file."""
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=DPI)
    return content.getvalue()
