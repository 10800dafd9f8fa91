"""Convolution layers, and keras-tcn's `TCN`, which is not a class of Keras and not in the table."""

from __future__ import annotations

from typing import Any

from ...layers import Conv1D, Conv1DTranspose, DepthwiseConv1D, Layer, SeparableConv1D
from ..layers import TCN
from .config import Config, flag, integer, integers, number, one_of, one_or_more_integers, optional, single
from .kind import ACTIVATION, Key, Kind, ReadLayer, activation


def as_list_of_one(value: int) -> list[int]:
    """A size as Keras writes it for one dimension."""
    return [value]


def size_key(name: str, field: str = "") -> Key:
    """A key whose value is a size in one dimension, such as a kernel size."""
    return Key(name, single, as_list_of_one, field)


def _unsupported(layer: Any) -> str:
    if layer.stride > 1 and layer.dilation > 1:
        return f"stride together with a dilation, got {layer.stride} and {layer.dilation}"
    return "causal padding" if layer.padding == "causal" and not isinstance(layer, Conv1D) else ""


FILTERS = Key("filters", integer)
SHARED = (
    size_key("kernel_size"),
    size_key("strides", "stride"),
    Key("padding", one_of("valid", "same", "causal")),
    size_key("dilation_rate", "dilation"),
    ACTIVATION,
    Key("use_bias", flag),
)
DEPTH_MULTIPLIER = Key("depth_multiplier", integer)
# Keras 2 writes `groups`, which these classes inherit and do not use.
UNGROUPED = (("groups", 1),)


def _kind(layer: type[Layer], *keys: Key, fixed: tuple[tuple[str, Any], ...] = UNGROUPED) -> Kind:
    return Kind(layer, keys, fixed=fixed, unsupported=_unsupported, channels_first=True)


KINDS = (
    _kind(Conv1D, FILTERS, *SHARED, Key("groups", integer), fixed=()),
    _kind(DepthwiseConv1D, *SHARED, DEPTH_MULTIPLIER),
    _kind(SeparableConv1D, FILTERS, *SHARED, DEPTH_MULTIPLIER),
    _kind(Conv1DTranspose, FILTERS, *SHARED, Key("output_padding", optional(single), optional(as_list_of_one))),
)


# The limit on the residual blocks of one TCN, more than any network needs.
MAX_BLOCKS = 200


def _read_tcn(config: Config, read_layer: ReadLayer) -> Layer:
    dilations = config.get("dilations", integers, (1, 2, 4, 8, 16, 32))
    filters = config.get("nb_filters", one_or_more_integers, 64)
    norms = [name for name in ("batch", "layer", "weight") if config.get(f"use_{name}_norm", flag, False)]
    if "weight" in norms or len(norms) > 1:
        config.fail(f"its normalization must be one of batch and layer, got {norms}")
    if config.get("return_state", flag, False):
        config.fail("return_state must be false; jconv does not have the state of a TCN")
    stacks = config.get("nb_stacks", integer, 1)
    if stacks * len(dilations) > MAX_BLOCKS:
        config.fail(f"it has {stacks * len(dilations):,} residual blocks; the limit is {MAX_BLOCKS}")
    return TCN(
        (filters,) * len(dilations) if isinstance(filters, int) else filters,
        dilations,
        config.get("kernel_size", integer, 3),
        stacks,
        config.get("padding", one_of("causal", "same"), "causal"),
        config.get("use_skip_connections", flag, True),
        config.get("dropout_rate", number, 0.0),
        config.get("return_sequences", flag, False),
        config.get("activation", activation, "relu"),
        norms[0] if norms else "",
        config.get("go_backwards", flag, False),
    )


TCN_KIND = Kind(TCN, read=_read_tcn, folders=lambda layer: layer.folders())
# The first part of the module of keras-tcn's class.
TCN_PACKAGE = "tcn"
