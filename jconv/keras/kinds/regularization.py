"""Keras's layers for training alone."""

from __future__ import annotations

from typing import Any

from ...layers import ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D
from .config import as_list, integer, number, optional
from .kind import Key, Kind


def _sizes(value: Any) -> tuple[int | None, ...]:
    """Sizes, of which any may be null."""
    return tuple(optional(integer)(size) for size in as_list(value))


RATE = Key("rate", "rate", number)
NOISE_SHAPE = Key("noise_shape", "noise_shape", optional(_sizes), optional(list))

KINDS = (
    Kind("Dropout", Dropout, (RATE, NOISE_SHAPE), mask="same"),
    # Keras 2 writes the noise_shape that this layer inherits and does not use.
    Kind("SpatialDropout1D", SpatialDropout1D, (RATE,), mask="same", fixed=(("noise_shape", None),)),
    Kind("GaussianDropout", GaussianDropout, (RATE,), mask="same"),
    Kind("GaussianNoise", GaussianNoise, (Key("stddev", "stddev", number),), mask="same"),
    Kind("AlphaDropout", AlphaDropout, (RATE, NOISE_SHAPE), mask="same"),
    Kind(
        "ActivityRegularization",
        ActivityRegularization,
        (Key("l1", "l1", number), Key("l2", "l2", number)),
        mask="same",
    ),
)
