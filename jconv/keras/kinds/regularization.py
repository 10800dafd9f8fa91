"""Layers that only have an effect in training."""

from __future__ import annotations

from ...layers import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
)
from .config import number, optional, sizes
from .kind import Key, Kind

RATE = Key("rate", number)
NOISE_SHAPE = Key("noise_shape", optional(sizes), optional(list))


KINDS = (
    Kind(Dropout, (RATE, NOISE_SHAPE), mask="identity"),
    # Keras 2 writes the `noise_shape` that this class inherits and does not use.
    Kind(SpatialDropout1D, (RATE,), fixed=(("noise_shape", None),), mask="identity"),
    Kind(GaussianDropout, (RATE,), mask="identity"),
    Kind(GaussianNoise, (Key("stddev", number),), mask="identity"),
    Kind(AlphaDropout, (RATE, NOISE_SHAPE), mask="identity"),
    Kind(ActivityRegularization, (Key("l1", number), Key("l2", number)), mask="identity"),
)
