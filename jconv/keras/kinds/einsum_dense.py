"""Keras's dense layer by an einsum equation."""

from __future__ import annotations

from typing import Any

from ...layers import EinsumDense
from .config import as_list, integer, optional, text
from .kind import ACTIVATION, Key, Kind


def _sizes(value: Any) -> int | tuple[int | None, ...]:
    """An integer, or several of which any may be null."""
    if isinstance(value, (list, tuple)):
        return tuple(optional(integer)(size) for size in as_list(value))
    return integer(value)


KINDS = (
    Kind(
        "EinsumDense",
        EinsumDense,
        (
            Key("equation", "equation", text),
            Key("output_shape", "out_shape", _sizes, lambda value: list(value) if isinstance(value, tuple) else value),
            ACTIVATION,
            Key("bias_axes", "bias_axes", optional(text)),
        ),
    ),
)
