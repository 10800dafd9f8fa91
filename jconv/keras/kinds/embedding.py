"""Keras's embedding."""

from __future__ import annotations

from ...layers import Embedding, NonzeroMask
from .config import flag, integer
from .kind import Key, Kind

KINDS = (
    Kind(
        "Embedding",
        Embedding,
        (
            Key("input_dim", "input_dim", integer),
            Key("output_dim", "output_dim", integer),
            Key("mask_zero", "mask_zero", flag),
        ),
        mask=lambda layer: NonzeroMask() if layer.mask_zero else "stop",
        harmless=("input_length",),
    ),
)
