"""Layers that normalize or rescale."""

from __future__ import annotations

from typing import Any

from ...layers import (
    BatchNormalization,
    Embedding,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    SpectralNormalization,
    UnitNormalization,
)
from ...layers.nesting import unwrap
from .config import array, as_lists, flag, integer, number, one_or_more_integers, optional, single
from .kind import LAYER, Key, Kind

AXIS = Key("axis", single)
AXES = Key("axis", one_or_more_integers, as_lists)
EPSILON = Key("epsilon", number)
CENTER_AND_SCALE = (Key("center", flag), Key("scale", flag))


def _axes_or_none(value: Any) -> int | tuple[int, ...]:
    """An axis, or a tuple of axes, which is empty for null."""
    return () if value is None else one_or_more_integers(value)


def _kernel_copy(layer: SpectralNormalization) -> dict[str, str]:
    # Keras stores the kernel of the wrapped layer a second time, as a variable of the wrapper.
    return {"vars/0": "layer/embeddings" if isinstance(unwrap(layer.layer), Embedding) else "layer/kernel"}


KINDS = (
    Kind(
        BatchNormalization,
        (AXIS, Key("momentum", number), EPSILON, *CENTER_AND_SCALE),
        fixed=(("renorm", False), ("virtual_batch_size", None), ("adjustment", None)),
        # Options of `renorm`, of how the layer is computed, and of training on several devices.
        ignored=("renorm_clipping", "renorm_momentum", "fused", "synchronized"),
        takes_mask=True,
        mask="propagate",
    ),
    Kind(
        LayerNormalization,
        (AXES, EPSILON, *CENTER_AND_SCALE, Key("rms_scaling", flag)),
        mask="propagate",
    ),
    Kind(RMSNormalization, (AXES, EPSILON)),
    Kind(UnitNormalization, (AXES,), mask="propagate"),
    Kind(
        GroupNormalization,
        (Key("groups", integer), AXIS, EPSILON, *CENTER_AND_SCALE),
        mask="propagate",
    ),
    Kind(
        SpectralNormalization,
        (LAYER, Key("power_iterations", integer)),
        inside=lambda layer: [(layer.layer, "layer", "layer")],
        copies=_kernel_copy,
        mask="inside",
    ),
    Kind(Rescaling, (Key("scale", array, as_lists), Key("offset", array, as_lists)), mask="propagate"),
    Kind(
        Normalization,
        (
            Key("axis", _axes_or_none, as_lists),
            Key("mean", optional(array), as_lists),
            Key("variance", optional(array), as_lists),
            Key("invert", flag),
        ),
        mask="propagate",
    ),
)
