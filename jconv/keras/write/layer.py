"""One layer as an entry of Keras's config; its wrappers become the options that they were read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from ...layers import ChannelsFirst, Frozen, HardSigmoid, InDtype, InMode, Layer
from ...layers.base import ActivationLayer
from ...layers.nesting import strip_prefix
from ..files.errors import KerasFileError
from ..kinds import kind_of
from ..kinds.activation import hard_sigmoid
from ..kinds.kind import Kind
from ..kinds.operations import FUNCTIONS
from ..layers import NestedModel

# `write_model(layer, name, arrays)` gives the entry of a nested model.
WriteModel = Callable[[NestedModel, str, Mapping[str, Any]], dict[str, Any]]


def write_layer(
    layer: Layer, name: str, arrays: Mapping[str, Any], write_model: WriteModel
) -> tuple[dict[str, Any], Kind | None]:
    """`(entry, kind)` of a layer with these `arrays`.

    Raises `KerasFileError` for a layer that Keras does not have, and for an activation without a name.
    """
    policy, trainable, channels_first = "float32", True, False
    base = layer
    while isinstance(base, (InDtype, ChannelsFirst, Frozen, InMode)):
        if isinstance(base, InMode) and base.training:
            raise KerasFileError(f"node {name!r}: a layer of Keras 3 is not always in training, got {base}")
        if isinstance(base, InDtype):
            policy = _policy(base.dtype, arrays)
        trainable = trainable and not isinstance(base, Frozen)
        channels_first = channels_first or isinstance(base, ChannelsFirst)
        base = base.layer
    if isinstance(base, HardSigmoid):
        return hard_sigmoid(base.slope, name, policy), None
    if isinstance(base, NestedModel):
        return write_model(base, name, arrays), None
    kind = kind_of(base)
    if kind is None:
        raise KerasFileError(f"node {name!r}: Keras has no layer for {type(base).__name__}")

    def write_inner(layer: Layer, option: str) -> dict[str, Any]:
        own = strip_prefix({"forward_layer": "forward", "backward_layer": "backward"}.get(option, option), arrays)
        entry = write_layer(layer, option, own, write_model)[0]
        if isinstance(layer, ActivationLayer) and not isinstance(layer, HardSigmoid):
            entry["config"]["dtype"] = policy
            # Keras loads an activation layer without calling it, so it needs the shape of its arrays.
            shapes = [jnp.shape(array) for array in own.values()]
            entry |= {"build_config": {"input_shape": [None, *shapes[0]]}} if shapes else {}
        return entry

    common: dict[str, Any] = {"name": name, "dtype": policy}
    # Some classes do not accept the option, but it distinguishes layers from operations with the same name.
    if not trainable or kind.name in FUNCTIONS:
        common["trainable"] = trainable
    if channels_first and not kind.channels_first:
        raise KerasFileError(f"node {name!r}: Keras's {kind.name} has no data_format")
    if kind.channels_first:
        common["data_format"] = "channels_first" if channels_first else "channels_last"
    try:
        config = {**common, **kind.config(base, write_inner)}
    except (ValueError, TypeError) as error:
        raise KerasFileError(f"node {name!r}: {error}") from None
    return layer_entry("keras.layers", kind.name, config, name), kind


def _policy(dtype: str, arrays: Mapping[str, Any]) -> str:
    floats = [a.dtype for a in map(jnp.asarray, arrays.values()) if jnp.issubdtype(a.dtype, jnp.floating)]
    return f"mixed_{dtype}" if dtype in ("bfloat16", "float16") and all(d == jnp.float32 for d in floats) else dtype


def layer_entry(module: str, class_name: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    """The entry of a layer or an operation, without its calls."""
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
        "name": name,
        "inbound_nodes": [],
    }
