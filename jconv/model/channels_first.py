"""Converts a network on (batch, channels, length), channels first, to one on (batch, length, channels), length first.

Keras's `data_format="channels_first"` gives channels-first networks. The stream states of layers assume the length
first, so the converted network is streamed: `ChannelsFirst` layers are replaced by their inner layers, the `axis` of
other layers is renumbered, and a `Permute` between the two layouts becomes the identity. Params are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import layers as jl
from ..layers.base import Key, Layer, Params, ReceptiveField, State
from ..layers.nesting import unwrap
from ..layers.operations.operands import Constant
from ..layers.operations.operation_window import ELEMENTWISE
from ..layers.wrapper import Wrapper
from ..reference.activations import ALONG_LAST
from ..streaming.timing import OutputTiming
from .needed import ELEMENTWISE_ACTIVATIONS, RANDOM
from .nodes import LayerGraph

ELEMENTWISE_LAYERS = (
    *(*ELEMENTWISE_ACTIVATIONS, *RANDOM, jl.ActivityRegularization),
    *(jl.Add, jl.Subtract, jl.Average, jl.Multiply, jl.Maximum, jl.Minimum),
)
LAYERS_WITH_AXIS = (jl.BatchNormalization, jl.LayerNormalization, jl.UnitNormalization, jl.Softmax)


class LengthFirst(NamedTuple):
    """The converted graph, and the names of the inputs and outputs whose length was last."""

    graph: LayerGraph
    length_last: frozenset[str]


@dataclass(frozen=True)
class NotStreamable(Wrapper):
    """A layer that mixes the samples of inputs whose length was last, so that it cannot be streamed.

    `length_last` says which inputs these are.
    """

    length_last: tuple[bool, ...]

    def apply(
        self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None
    ) -> tuple[Any, dict[str, Any]]:
        """Apply the inner layer in the original layout. In a stream this works for values without a length."""
        inputs = x if self.has_several_inputs else (x,)
        inputs = tuple(swap_axes(a) if last else a for a, last in zip(inputs, self.length_last, strict=True))
        x = inputs if self.has_several_inputs else inputs[0]
        return self.layer.apply(params, state, x, training=training, key=key)

    def window(self) -> ReceptiveField | None:
        """None: an output may depend on every sample."""
        return None

    def output_timing(self) -> OutputTiming:
        """Raises `ValueError`."""
        raise ValueError(
            f"{self.layer} cannot be computed a chunk at a time: it needs the complete length, the last axis of its "
            "input"
        )


def length_first(graph: LayerGraph) -> LengthFirst:
    """The graph with the length first; the same graph if it already has the length first.

    The length of an input is its last axis if the shape is (channels, None). If no size is None, the length is the last
    axis if the first layer whose result depends on the layout is `ChannelsFirst`.
    """
    shapes = graph.input_shapes or (None,) * len(graph.inputs)
    last = {name: _has_length_last(graph, name, shape) for name, shape in zip(graph.inputs, shapes, strict=True)}
    if not any(last.values()) and not any(isinstance(node.layer, jl.Permute) for node in graph.nodes):
        return LengthFirst(graph, frozenset())
    nodes = []
    for node in graph.nodes:
        layer, last[node.name] = _convert(node.layer, [last[name] for name in node.inputs])
        nodes.append(replace(node, layer=layer))
    names = frozenset(name for name in (*graph.inputs, *graph.outputs) if last[name])
    reversed_shapes = tuple(
        shape[::-1] if shape and name in names else shape for name, shape in zip(graph.inputs, shapes, strict=True)
    )
    converted = replace(graph, nodes=tuple(nodes), input_shapes=None if graph.input_shapes is None else reversed_shapes)
    return LengthFirst(converted, names)


def swap_axes(array: jax.Array) -> jax.Array:
    """(batch, length, channels) to (batch, channels, length) and back."""
    return jnp.swapaxes(array, 1, 2)


def _has_length_last(graph: LayerGraph, name: str, shape: Any) -> bool:
    """Whether the length of an input is its last axis."""
    if shape is not None and (len(shape) != 2 or None in shape):
        return len(shape) == 2 and shape[0] is not None
    reached = {name}
    for node in graph.nodes:
        if not reached.intersection(node.inputs):
            continue
        if _is_channels_first(node.layer):
            return True
        layer, _ = _convert(node.layer, [True] * len(node.inputs))
        if isinstance(node.layer, jl.Permute) or isinstance(layer, NotStreamable):
            return False
        reached.add(node.name)
    return False


def _is_channels_first(layer: Layer) -> bool:
    while not isinstance(layer, jl.ChannelsFirst) and isinstance(layer, (Wrapper, jl.SpectralNormalization)):
        layer = layer.layer
    return isinstance(layer, jl.ChannelsFirst)


def _convert(layer: Layer, length_last: Sequence[bool]) -> tuple[Layer, bool]:
    """The layer for inputs with the length first, and whether the length of its original output was last."""
    if isinstance(layer, jl.Permute) and layer.dims == (2, 1):
        return jl.Permute((1, 2)), not length_last[0]
    if not any(length_last):
        return layer, False
    not_streamable = NotStreamable(layer, tuple(length_last)), False
    if not all(length_last):
        return not_streamable
    if isinstance(layer, jl.ChannelsFirst):
        if layer.window() is None and layer.layer.window() is not None:
            # Its activation works along the length.
            return not_streamable
        inner = unwrap(layer.layer)
        drops_length = isinstance(inner, (jl.GlobalAveragePooling1D, jl.GlobalMaxPooling1D)) and not inner.keepdims
        return layer.layer, not drops_length
    if isinstance(layer, (Wrapper, jl.SpectralNormalization)):
        inner, last = _convert(layer.layer, length_last)
        return not_streamable if isinstance(inner, NotStreamable) else (replace(layer, layer=inner), last)
    if isinstance(layer, (*LAYERS_WITH_AXIS, jl.Concatenate)) and layer.axis in (1, -2, (1,), (-2,)):
        return replace(layer, axis=-1), True
    return (layer, True) if _is_elementwise(layer) else not_streamable


def _is_elementwise(layer: Layer) -> bool:
    """Whether the layer computes each element independently of its position, at least outside training."""
    if isinstance(layer, jl.Activation):
        # A callable may depend on other elements.
        return not callable(layer.activation) and layer.activation not in ALONG_LAST
    if isinstance(layer, jl.Operation):
        operands = (*layer.arguments, *(value for _, value in layer.options))
        return layer.function in ELEMENTWISE and not any(isinstance(value, Constant) for value in operands)
    if isinstance(layer, jl.PReLU):
        return set(layer.shared_axes or ()) == {1, 2}
    if isinstance(layer, jl.Rescaling):
        return isinstance(layer.scale, (int, float)) and isinstance(layer.offset, (int, float))
    return isinstance(layer, ELEMENTWISE_LAYERS)
