"""Which inputs of a model must be integers."""

from __future__ import annotations

from ...layers import Embedding, Layer
from ...layers.mask import NonzeroMask
from ...layers.nesting import unwrap
from ...model.graph import Model, Node
from ..layers import NestedModel


def reads_integers(model: Model, value: str) -> bool:
    """Whether every layer that reads a value needs integers, as an embedding does."""
    readers = [node for node in model.nodes if value in node.inputs]
    return bool(readers) and all(_needs_integers(node, value) for node in readers)


def _needs_integers(node: Node, value: str) -> bool:
    layer = unwrap(node.layer)
    while isinstance(inside := getattr(layer, "layer", None), Layer):
        layer = unwrap(inside)
    if isinstance(layer, NestedModel):
        pairs = zip(layer.model.inputs, node.inputs, strict=True)
        return all(reads_integers(layer.model, name) for name, read in pairs if read == value)
    return isinstance(layer, (Embedding, NonzeroMask))
