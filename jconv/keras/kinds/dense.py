"""Dense layers and embeddings."""

from __future__ import annotations

from typing import Any

from ...layers import Dense, EinsumDense, Embedding, NonzeroMask
from .config import as_lists, flag, integer, optional, sizes, text
from .kind import ACTIVATION, Key, Kind


def _output_shape(value: Any) -> int | tuple[int | None, ...]:
    return sizes(value) if isinstance(value, list) else integer(value)


KINDS = (
    Kind("Dense", Dense, (Key("units", integer), ACTIVATION, Key("use_bias", flag)), mask="propagate"),
    Kind(
        "EinsumDense",
        EinsumDense,
        (
            Key("equation", text),
            Key("output_shape", _output_shape, as_lists, field="out_shape"),
            ACTIVATION,
            Key("bias_axes", optional(text)),
        ),
    ),
    Kind(
        "Embedding",
        Embedding,
        (Key("input_dim", integer), Key("output_dim", integer), Key("mask_zero", flag)),
        ignored=("input_length",),
        mask=lambda layer: NonzeroMask() if layer.mask_zero else "stop",
    ),
)
