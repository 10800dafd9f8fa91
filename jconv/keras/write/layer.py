"""One layer into Keras's config: layers around it become the options that they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ...layers import ChannelsFirst, Frozen, HardSigmoid, InDtype, InMode, Layer
from ...layers.base import ActivationLayer
from ...layers.nesting import strip_prefix
from ..files.errors import KerasFileError
from ..kinds import KINDS
from ..kinds.kind import Kind
from ..kinds.operations import FUNCTIONS
from ..read.keras2 import hard_sigmoid
from ..read.nested import Nested

# Of two kinds with one layer, the first is how it is written.
BY_LAYER = {kind.layer: kind for kind in reversed(KINDS.values())}


def write_layer(layer: Layer, name: str, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], Kind | None]:
    """`(entry, kind)` of a layer, in the form that Keras serializes it in.

    Raises `KerasFileError` for a layer that Keras does not have and for an activation that has no name.
    """
    policy, trainable, first = "float32", True, False
    bare = layer
    while isinstance(bare, (InDtype, ChannelsFirst, Frozen, InMode)):
        if isinstance(bare, InMode) and bare.training:
            raise KerasFileError(f"node {name!r}: a layer of Keras 3 is not always in training, got {bare}")
        if isinstance(bare, InDtype):
            policy = _policy(bare.dtype, arrays)
        trainable = trainable and not isinstance(bare, Frozen)
        first = first or isinstance(bare, ChannelsFirst)
        bare = bare.layer
    if isinstance(bare, HardSigmoid):
        return hard_sigmoid(bare.slope, name, policy), None
    if isinstance(bare, Nested):
        return write_nested(bare, name, arrays).config, None
    kind = BY_LAYER.get(type(bare))
    if kind is None:
        raise KerasFileError(f"node {name!r}: Keras has no layer for {type(bare).__name__}")

    def inner(layer: Layer, option: str) -> dict[str, Any]:
        own = strip_prefix({"forward_layer": "forward", "backward_layer": "backward"}.get(option, option), arrays)
        entry = write_layer(layer, option, own)[0]
        if isinstance(layer, ActivationLayer) and not isinstance(layer, HardSigmoid):
            entry["config"]["dtype"] = policy
            # Keras has no call by which to know the shape of its arrays.
            shapes = [jnp.shape(array) for array in own.values()]
            entry |= {"build_config": {"input_shape": [None, *shapes[0]]}} if shapes else {}
        return entry

    common: dict[str, Any] = {"name": name, "dtype": policy}
    # Not every layer of Keras takes the option; with those that have the name of an operation it tells the two apart.
    if not trainable or kind.name in FUNCTIONS:
        common["trainable"] = trainable
    if first and not kind.channels_first:
        raise KerasFileError(f"node {name!r}: Keras's {kind.name} has no data_format")
    if kind.channels_first:
        common["data_format"] = "channels_first" if first else "channels_last"
    try:
        config = {**common, **kind.config(bare, inner)}
    except (ValueError, TypeError) as error:
        raise KerasFileError(f"node {name!r}: {error}") from None
    return entry_of_class("keras.layers", kind.name, config, name), kind


def write_nested(layer: Nested, name: str, arrays: Mapping[str, Any]) -> Any:
    """What is written of a model that is a layer."""
    # It writes layers.
    from .config import write_model

    shapes = dict(zip(layer.model.inputs, layer.model.input_shapes or (), strict=True))
    own = {node.key: strip_prefix(node.key, arrays) for node in layer.model.nodes}
    return write_model(layer.model, shapes, own, name)


def _policy(dtype: str, arrays: Mapping[str, Any]) -> str:
    floats = [a.dtype for a in map(jnp.asarray, arrays.values()) if jnp.issubdtype(a.dtype, jnp.floating)]
    return f"mixed_{dtype}" if dtype in ("bfloat16", "float16") and all(d == jnp.float32 for d in floats) else dtype


def entry_of_class(module: str, class_name: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    """The entry of a layer or an operation of a class."""
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
        "name": name,
        "inbound_nodes": [],
    }
