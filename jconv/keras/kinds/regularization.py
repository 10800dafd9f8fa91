"""Layers that only have an effect in training."""

from __future__ import annotations

from ...layers import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Layer,
    SpatialDropout1D,
)
from .config import number, optional, sizes
from .kind import Key, Kind

RATE = Key("rate", number)
NOISE_SHAPE = Key("noise_shape", optional(sizes), optional(list))


def _kind(layer: type[Layer], *keys: Key) -> Kind:
    return Kind(layer.__name__, layer, keys, mask="identity")


KINDS = (
    _kind(Dropout, RATE, NOISE_SHAPE),
    # Keras 2 writes the `noise_shape` that this class inherits and does not use.
    Kind("SpatialDropout1D", SpatialDropout1D, (RATE,), fixed=(("noise_shape", None),), mask="identity"),
    _kind(GaussianDropout, RATE),
    _kind(GaussianNoise, Key("stddev", number)),
    _kind(AlphaDropout, RATE, NOISE_SHAPE),
    _kind(ActivityRegularization, Key("l1", number), Key("l2", number)),
)
