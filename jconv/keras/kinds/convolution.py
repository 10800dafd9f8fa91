"""Keras's convolutions."""

from __future__ import annotations

from typing import Any

from ...layers import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .config import flag, integer, one_of, optional, single
from .kind import ACTIVATION, Key, Kind


def listed(value: int) -> list[int]:
    """A size as Keras writes one of a single dimension."""
    return [value]


def _lacks(layer: Any) -> str:
    if layer.stride > 1 and layer.dilation > 1:
        return f"stride together with a dilation, got {layer.stride} and {layer.dilation}"
    return "causal padding" if layer.padding == "causal" and not isinstance(layer, Conv1D) else ""


FILTERS = Key("filters", "filters", integer)
SHARED = (
    Key("kernel_size", "kernel_size", single, listed),
    Key("strides", "stride", single, listed),
    Key("padding", "padding", one_of("valid", "same", "causal")),
    Key("dilation_rate", "dilation", single, listed),
    ACTIVATION,
    Key("use_bias", "use_bias", flag),
)
MULTIPLIER = Key("depth_multiplier", "depth_multiplier", integer)
# Keras 2 writes the groups that these layers inherit and do not use.
UNGROUPED = (("groups", 1),)

KINDS = (
    Kind("Conv1D", Conv1D, (FILTERS, *SHARED, Key("groups", "groups", integer)), channels_first=True, lacks=_lacks),
    Kind("DepthwiseConv1D", DepthwiseConv1D, (*SHARED, MULTIPLIER), channels_first=True, fixed=UNGROUPED, lacks=_lacks),
    Kind(
        "SeparableConv1D",
        SeparableConv1D,
        (FILTERS, *SHARED, MULTIPLIER),
        channels_first=True,
        fixed=UNGROUPED,
        lacks=_lacks,
    ),
    Kind(
        "Conv1DTranspose",
        Conv1DTranspose,
        (FILTERS, *SHARED, Key("output_padding", "output_padding", optional(single), optional(listed))),
        channels_first=True,
        fixed=UNGROUPED,
        lacks=_lacks,
    ),
)
