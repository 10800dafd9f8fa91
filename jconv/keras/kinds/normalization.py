"""Keras's batch normalization."""

from __future__ import annotations

from ...layers import BatchNormalization
from .config import flag, number, single
from .kind import Key, Kind

KINDS = (
    Kind(
        "BatchNormalization",
        BatchNormalization,
        (
            Key("axis", "axis", single),
            Key("momentum", "momentum", number),
            Key("epsilon", "epsilon", number),
            Key("center", "center", flag),
            Key("scale", "scale", flag),
        ),
        mask="on",
        takes_mask=True,
        fixed=(("renorm", False), ("virtual_batch_size", None), ("adjustment", None)),
        # Options of `renorm`, of how it is computed, and of training on several devices.
        harmless=("renorm_clipping", "renorm_momentum", "fused", "synchronized"),
    ),
)
