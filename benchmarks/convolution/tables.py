"""The results of a run as two Markdown tables: ratios, and all other measurements."""

from __future__ import annotations

from typing import Any

from ..shared import markdown
from .programs import (
    FASTEST,
    FORWARD,
    GRADIENTS,
    JCONV,
    LAX,
    ONNX,
    SCAN_FORWARD,
    SCAN_GRADIENTS,
    TORCH,
    VMAP_FORWARD,
    VMAP_GRADIENTS,
)
from .rows import Row
from .summary import BEST_OTHER, Result, ratio

NOTHING = "–"

FIRST_COLUMNS = (
    "convolution (batch, length, in, out, kernel size, stride, dilation, groups)",
    "best other library / jconv: forward, gradients",
    "best other library / fastest, where it differs",
    "lax / jconv: forward, gradients",
    "forward, ms: lax / jconv / fastest / PyTorch / ONNX Runtime",
    "with both gradients, ms: lax / jconv / fastest / PyTorch",
    "in a scan, lax / jconv: forward, gradients",
    "under vmap, lax / jconv: forward, gradients",
    "algorithm: forward, gradient of x, of the kernel",
)
SECOND_COLUMNS = (
    "convolution",
    "in a scan, ms a step, lax / jconv: forward",
    "gradients",
    "under vmap, ms, lax / jconv: forward",
    "gradients",
    "compiling the gradients, s: lax / jconv",
    "temporary memory, MiB: lax / jconv",
    "jconv's forward, share of the roofline",
)
COPY_COLUMN = "time of a copy / of the forward pass"


def second_columns(gpu: bool) -> tuple[str, ...]:
    """The columns of the second table; on a GPU, depthwise convolutions are compared with copying."""
    return (*SECOND_COLUMNS, COPY_COLUMN) if gpu else SECOND_COLUMNS


def first_line(result: Result) -> str:
    """A row of the first table."""
    row = Row(**result["row"])
    models = f", {row.ensemble} kernels" if row.ensemble > 1 else ""
    differs = FASTEST in result["milliseconds"][FORWARD]
    cells = [
        f"{row.name} ({row.sizes}{models})",
        _ratios(result, BEST_OTHER, FORWARD, GRADIENTS),
        _ratios(result, BEST_OTHER, FORWARD, GRADIENTS, own=FASTEST) if differs else NOTHING,
        _ratios(result, LAX, FORWARD, GRADIENTS),
        _times(result, FORWARD, LAX, JCONV, FASTEST, TORCH, ONNX),
        _times(result, GRADIENTS, LAX, JCONV, FASTEST, TORCH),
        _ratios(result, LAX, SCAN_FORWARD, SCAN_GRADIENTS),
        _ratios(result, LAX, VMAP_FORWARD, VMAP_GRADIENTS),
        _algorithms(result),
    ]
    return markdown.row(cells)


def second_line(result: Result, gpu: bool = False) -> str:
    """A row of the second table."""
    row = Row(**result["row"])
    programs = (SCAN_FORWARD, SCAN_GRADIENTS, VMAP_FORWARD, VMAP_GRADIENTS)
    cells = [
        row.name,
        *(_times(result, program, LAX, JCONV) for program in programs),
        _pair(result["compile_seconds"], 1.0, ".2f"),
        _pair(result["temporary_bytes"], 2.0**-20, ".1f"),
        _percent(result["roofline_share"]),
    ]
    if gpu:
        cells.append(_percent(result["copy_share"]) if row.depthwise else NOTHING)
    return markdown.row(cells)


def number(value: float | None) -> str:
    """A number with three digits, without an exponent.

    >>> number(0.12345), number(5220.4), number(None)
    ('0.123', '5,220', '–')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times_as_large(value: float | None) -> str:
    """A ratio with two digits.

    >>> times_as_large(0.987), times_as_large(123.4)
    ('0.99x', '123x')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2f}x"


def _times(result: Result, program: str, *sides: str) -> str:
    times = result["milliseconds"].get(program)
    return " / ".join(number(times.get(side)) for side in sides) if times else NOTHING


def _ratios(result: Result, other: str, *programs: str, own: str = JCONV) -> str:
    values = [ratio(result, program, other, own) for program in programs]
    return ", ".join(map(times_as_large, values)) if any(values) else NOTHING


def _algorithms(result: Result) -> str:
    if result["row"]["transposed"]:
        return "transposed"
    names = list((result["algorithms"] or {}).values())
    return ", ".join(names if len(set(names)) > 1 else names[:1]) or NOTHING


def _pair(values: dict[str, Any], unit: float, form: str) -> str:
    known = [values.get(side) for side in (LAX, JCONV)]
    return " / ".join(NOTHING if value is None else format(value * unit, form) for value in known)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.0f}%"
