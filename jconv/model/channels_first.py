"""A network whose sequences have the length last, (batch, channels, length), as one that has it first.

Keras's `data_format="channels_first"` is such a network, and a stream's samples come along its last axis. What a layer
keeps is always of samples one after the other, so a stream is that of the turned network: the inner layer of each
`ChannelsFirst`, axes counted anew, and nothing of a `Permute` that goes from one to the other. Arrays are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import layers as jl
from ..layers.base import Layer, ReceptiveField
from ..layers.nesting import unwrap
from ..layers.operations.operands import Constant
from ..layers.operations.operation_window import ELEMENTWISE
from ..layers.wrapper import Wrapper
from ..reference.activations import ALONG_LAST
from ..streaming.timing import Pace
from .nodes import LayerGraph

# These do the same to every value, wherever it stands, or outside training nothing.
BY_VALUES = (
    *(jl.ReLU, jl.LeakyReLU, jl.ELU, jl.HardSigmoid, jl.Add, jl.Subtract, jl.Average, jl.Multiply, jl.Maximum),
    *(jl.Minimum, jl.Dropout, jl.AlphaDropout, jl.SpatialDropout1D, jl.GaussianDropout, jl.GaussianNoise),
    jl.ActivityRegularization,
)
# These work along `axis`.
ALONG = (jl.BatchNormalization, jl.LayerNormalization, jl.UnitNormalization, jl.Softmax)


class Turned(NamedTuple):
    """The `model` with the length first, and the names of the inputs and outputs that had it last."""

    model: LayerGraph
    names: frozenset[str]


@dataclass(frozen=True)
class LengthLast(Wrapper):
    """A layer that does not work sample by sample along a length that is last, as it is for the inputs in `last`."""

    last: tuple[bool, ...]

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The inner layer's of the inputs as they were: of values so far, which are no sequences, it may be."""
        several = x if self.has_several_inputs else (x,)
        moved = tuple(turned(a) if last else a for a, last in zip(several, self.last, strict=True))
        return self.layer.apply(
            params, state, moved if self.has_several_inputs else moved[0], training=training, key=key
        )

    def window(self) -> ReceptiveField | None:
        """None: it may read every sample."""
        return None

    def pace(self) -> Pace:
        """Raises `ValueError`."""
        raise ValueError(
            f"{self.layer} cannot be computed a chunk at a time: it needs the whole length, the last axis of its input"
        )


def length_first(model: LayerGraph) -> Turned:
    """The network with the length first; the same one where it has it first already.

    An input has its length last where its shape says so, (4, None), or without a length that is open where the first
    layer that minds is `ChannelsFirst`.
    """
    shapes = model.input_shapes or (None,) * len(model.inputs)
    last = {name: _begins_last(model, name, shape) for name, shape in zip(model.inputs, shapes, strict=True)}
    if not any(last.values()) and not any(isinstance(node.layer, jl.Permute) for node in model.nodes):
        return Turned(model, frozenset())
    nodes = []
    for node in model.nodes:
        layer, last[node.name] = _turned(node.layer, [last[name] for name in node.inputs])
        nodes.append(replace(node, layer=layer))
    names = frozenset(name for name in (*model.inputs, *model.outputs) if last[name])
    known = [
        shape[::-1] if shape and name in names else shape for name, shape in zip(model.inputs, shapes, strict=True)
    ]
    shapes = None if model.input_shapes is None else tuple(known)
    return Turned(replace(model, nodes=tuple(nodes), input_shapes=shapes), names)


def turned(array: jax.Array) -> jax.Array:
    """(batch, channels, length) from (batch, length, channels), and the other way round."""
    return jnp.swapaxes(array, 1, 2)


def _begins_last(model: LayerGraph, name: str, shape: Any) -> bool:
    """Whether an input's length is its last axis."""
    if shape is not None and (len(shape) != 2 or None in shape):
        return len(shape) == 2 and shape[0] is not None
    passed = {name}
    for node in model.nodes:
        if not passed.intersection(node.inputs):
            continue
        if _is_channels_first(node.layer):
            return True
        layer, _ = _turned(node.layer, [True] * len(node.inputs))
        if isinstance(node.layer, jl.Permute) or isinstance(layer, LengthLast):
            return False
        passed.add(node.name)
    return False


def _is_channels_first(layer: Layer) -> bool:
    while not isinstance(layer, jl.ChannelsFirst) and isinstance(layer, (Wrapper, jl.SpectralNormalization)):
        layer = layer.layer
    return isinstance(layer, jl.ChannelsFirst)


def _turned(layer: Layer, read: Sequence[bool]) -> tuple[Layer, bool]:
    """The layer on inputs with the length first, of which these had it last, and whether its output had."""
    if isinstance(layer, jl.Permute) and layer.dims == (2, 1):
        return jl.Permute((1, 2)), not read[0]
    if not any(read):
        return layer, False
    mixing = LengthLast(layer, tuple(read)), False
    if not all(read):
        return mixing
    if isinstance(layer, jl.ChannelsFirst):
        if layer.window() is None and layer.layer.window() is not None:
            # Its activation goes along the length.
            return mixing
        kept = unwrap(layer.layer)
        one_value = isinstance(kept, (jl.GlobalAveragePooling1D, jl.GlobalMaxPooling1D)) and not kept.keepdims
        return layer.layer, not one_value
    if isinstance(layer, (Wrapper, jl.SpectralNormalization)):
        inner, last = _turned(layer.layer, read)
        return mixing if isinstance(inner, LengthLast) else (replace(layer, layer=inner), last)
    if isinstance(layer, (*ALONG, jl.Concatenate)) and layer.axis in (1, -2, (1,), (-2,)):
        return replace(layer, axis=-1), True
    return (layer, True) if _by_value(layer) else mixing


def _by_value(layer: Layer) -> bool:
    if isinstance(layer, jl.Activation):
        # A function may look along the last axis.
        return not callable(layer.activation) and layer.activation not in ALONG_LAST
    if isinstance(layer, jl.Operation):
        operands = (*layer.arguments, *(value for _, value in layer.options))
        return layer.function in ELEMENTWISE and not any(isinstance(value, Constant) for value in operands)
    if isinstance(layer, jl.PReLU):
        return set(layer.shared_axes or ()) == {1, 2}
    if isinstance(layer, jl.Rescaling):
        return isinstance(layer.scale, (int, float)) and isinstance(layer.offset, (int, float))
    return isinstance(layer, BY_VALUES)
