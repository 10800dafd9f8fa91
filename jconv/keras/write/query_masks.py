"""The masks of queries as attention masks: Keras's MultiHeadAttention heeds no `query_mask` that a call says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ...layers import Layer, MultiHeadAttention, Operation
from ...layers.nesting import replace_options, unwrap
from ...layers.operations.operation import Input
from ...model.graph import Model, Node


def as_attention_masks(model: Model, shapes: Mapping[str, Any], names: Collection[str]) -> Model:
    """The model, on values of these `shapes`, with the masks of queries of the nodes `names` in attention masks."""
    nodes: list[Node] = []
    # Calls of one layer must read the same.
    others = {node.key for node in model.nodes if node.name not in names or not _masks_queries(node.layer)}
    for node in model.nodes:
        nodes += [node] if node.key in others else _rewritten(node, shapes)
    return replace(model, nodes=tuple(nodes))


def _masks_queries(layer: Layer) -> bool:
    return isinstance(unwrap(layer), MultiHeadAttention) and "query_mask" in unwrap(layer).inputs


def _rewritten(node: Node, shapes: Mapping[str, Any]) -> list[Node]:
    roles = dict(zip(unwrap(node.layer).inputs, node.inputs, strict=True))
    mask = f"{node.name}/queries"
    made = [Node(mask, Operation("expand_dims", options=(("axis", -1),)), (roles.pop("query_mask"),))]
    if "attention_mask" in roles:
        if len(shapes[roles["attention_mask"]]) == 3:
            # One for each head.
            made.append(Node(f"{mask}/heads", Operation("expand_dims", options=(("axis", 1),)), (mask,)))
            mask = made[-1].name
        both = Operation("logical_and", (Input(0), Input(1)))
        made.append(Node(f"{node.name}/attention_mask", both, (roles["attention_mask"], mask)))
        mask = made[-1].name
    roles["attention_mask"] = mask
    layer = replace_options(node.layer, inputs=tuple(roles))
    return [*made, Node(node.name, layer, tuple(roles.values()), node.params)]
