"""Dense layers, embeddings, masking, and layers that change the shape and compute nothing."""

from __future__ import annotations

from typing import Any

from ...layers import (
    Cropping1D,
    Dense,
    EinsumDense,
    Embedding,
    Flatten,
    Masking,
    MaskOf,
    NonzeroMask,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling1D,
    ZeroPadding1D,
)
from .config import (
    array,
    as_lists,
    flag,
    integer,
    integers,
    number,
    one_or_more_integers,
    optional,
    single,
    sizes,
    text,
)
from .kind import ACTIVATION, Key, Kind


def _output_shape(value: Any) -> int | tuple[int | None, ...]:
    return sizes(value) if isinstance(value, list) else integer(value)


def _mask_value(value: Any) -> float:
    return number(array(value))


def _pair(value: Any) -> list[int]:
    """The sizes at both ends, as Keras writes them."""
    return list(value) if isinstance(value, tuple) else [value, value]


KINDS = (
    Kind(Dense, (Key("units", integer), ACTIVATION, Key("use_bias", flag)), mask="propagate"),
    Kind(
        EinsumDense,
        (
            Key("equation", text),
            Key("output_shape", _output_shape, as_lists, field="out_shape"),
            ACTIVATION,
            Key("bias_axes", optional(text)),
        ),
    ),
    Kind(
        Embedding,
        (Key("input_dim", integer), Key("output_dim", integer), Key("mask_zero", flag)),
        ignored=("input_length",),
        mask=lambda layer: NonzeroMask() if layer.mask_zero else "stop",
    ),
    Kind(Masking, (Key("mask_value", _mask_value),), mask=lambda layer: MaskOf(layer.mask_value)),
    Kind(ZeroPadding1D, (Key("padding", one_or_more_integers, _pair),), channels_first=True),
    Kind(Cropping1D, (Key("cropping", one_or_more_integers, _pair),)),
    Kind(UpSampling1D, (Key("size", single),)),
    Kind(RepeatVector, (Key("n", integer),)),
    Kind(Permute, (Key("dims", integers, list),)),
    Kind(Reshape, (Key("target_shape", sizes, list),)),
    Kind(Flatten, channels_first=True),
)
