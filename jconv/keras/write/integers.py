"""Which inputs of a model are integers: those of which all readers look something up."""

from __future__ import annotations

from ...layers import Embedding, Layer
from ...layers.mask import NonzeroMask
from ...layers.nesting import unwrap
from ...model.graph import Model, Node
from ..read.nested import Nested


def reads_integers(model: Model, value: str) -> bool:
    """Whether all that reads a value reads integers."""
    readers = [node for node in model.nodes if value in node.inputs]
    return bool(readers) and all(_of_integers(node, value) for node in readers)


def _of_integers(node: Node, value: str) -> bool:
    layer = unwrap(node.layer)
    while isinstance(inside := getattr(layer, "layer", None), Layer):
        layer = unwrap(inside)
    if isinstance(layer, Nested):
        own = zip(layer.model.inputs, node.inputs, strict=True)
        return all(reads_integers(layer.model, name) for name, read in own if read == value)
    return isinstance(layer, (Embedding, NonzeroMask))
