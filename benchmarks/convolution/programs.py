"""A program of a side: a call, and how to read its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..shared.timing import Call
from .rows import Array

FORWARD, GRADIENTS = "forward", "gradients"
SCAN_FORWARD, SCAN_GRADIENTS = "forward in a scan", "gradients in a scan"
VMAP_FORWARD, VMAP_GRADIENTS = "forward under vmap", "gradients under vmap"
PROGRAMS = (FORWARD, GRADIENTS, SCAN_FORWARD, SCAN_GRADIENTS, VMAP_FORWARD, VMAP_GRADIENTS)
"""Forward; forward with both gradients; each as the step of a scan; each under vmap, for four kernels."""

LAX, TORCH, ONNX = "lax", "PyTorch", "ONNX Runtime"
JCONV, FASTEST = "jconv", "jconv, fastest"
"""With `algorithm="auto"`, and with `algorithm="fastest"` where that chooses otherwise."""
OTHER_LIBRARIES = (TORCH, ONNX)


class Program(NamedTuple):
    """One program of one side.

    `call`, which is timed, runs it and waits for the result. `checked` does so with the arguments of the check. `read`
    converts a result to NumPy arrays in the layout of the reference: y, or y, the gradient of x and the gradient of the
    kernel.
    """

    call: Call
    checked: Call
    read: Callable[[Any], tuple[Array, ...]]
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
