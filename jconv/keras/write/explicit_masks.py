"""Operations that apply masks which Keras's layers do not accept as arguments.

Merging layers have no argument for the masks of their inputs. `MultiHeadAttention` ignores the argument `query_mask`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from ...layers import (
    Activation,
    ChannelsFirst,
    Frozen,
    InDtype,
    Layer,
    Maximum,
    Minimum,
    MultiHeadAttention,
    Multiply,
    Operation,
)
from ...layers.nesting import replace_options, unwrap
from ...layers.operations.operation import Input
from ...model.graph import Model, Node

FUNCTIONS = {Maximum: "maximum", Minimum: "minimum", Multiply: "multiply"}


@dataclass(frozen=True)
class Steps:
    """Collects the `nodes` that replace the node `name`, and adds the shapes of their outputs to `shapes`."""

    name: str
    shapes: dict[str, Any]
    nodes: list[Node] = field(default_factory=list)

    def add(self, layer: Layer, *inputs: str) -> str:
        """Add a node and return its name."""
        node = Node(f"{self.name}/step{len(self.nodes)}", layer, inputs)
        self.nodes.append(node)
        self.shapes[node.name] = layer.output_shape(node.select(self.shapes))
        return node.name

    def call(self, function: str, *inputs: str, **options: Any) -> str:
        """Add an operation that reads `inputs` as its arguments."""
        arguments = tuple(Input(i) for i in range(len(inputs)))
        return self.add(Operation(function, arguments, tuple(sorted(options.items()))), *inputs)

    def cast(self, value: str, dtype: str) -> str:
        """Add a cast of a value: a layer, since an operation has no type of its own."""
        return self.add(InDtype(Activation("linear"), dtype), value)

    def move_axis(self, value: str, source: int, destination: int) -> str:
        """Move an axis of a value, if it has two axes in addition to the batch."""
        if len(self.shapes[value]) < 2:
            return value
        return self.call("moveaxis", value, source=source, destination=destination)


def merge_by_masks(layer: Layer, inputs: tuple[str, ...], steps: Steps) -> str:
    """The output of a merging layer, possibly in wrappers, that reads masks among its `inputs`."""
    if isinstance(layer, InDtype):
        roles = unwrap(layer).inputs
        cast = [v if role == "mask" else steps.cast(v, layer.dtype) for role, v in zip(roles, inputs, strict=True)]
        return steps.cast(merge_by_masks(layer.layer, tuple(cast), steps), layer.dtype)
    if isinstance(layer, ChannelsFirst):
        moved = tuple(steps.move_axis(value, 1, -1) for value in inputs)
        return steps.move_axis(merge_by_masks(layer.layer, moved, steps), -1, 1)
    if isinstance(layer, Frozen):
        return merge_by_masks(layer.layer, inputs, steps)
    assert isinstance(layer, (Maximum, Minimum, Multiply))
    pairs = layer.values_and_masks(inputs)
    masks = [None if mask is None else steps.call("expand_dims", mask, axis=-1) for _, mask in pairs]
    rank = max(len(steps.shapes[value]) for value, _ in pairs)
    values = [_with_rank(value, rank, steps) for value, _ in pairs]
    present = [mask for mask in masks if mask is not None]
    if isinstance(layer, Multiply):
        factors = [_where(mask, value, 1.0, steps) for value, mask in zip(values, masks, strict=True)]
        product = reduce(lambda a, b: steps.call("multiply", a, b), factors)
        if len(present) < len(masks):
            return product
        return _where(reduce(lambda a, b: steps.call("logical_or", a, b), present), product, 0.0, steps)
    merged, counted = values[0], masks[0]
    for value, mask in zip(values[1:], masks[1:], strict=True):
        value = _where(mask, value, merged, steps)
        merged = steps.call(FUNCTIONS[type(layer)], _where(counted, merged, value, steps), value)
        counted = None if counted is None or mask is None else steps.call("logical_or", counted, mask)
    return merged


def _with_rank(value: str, rank: int, steps: Steps) -> str:
    for _ in range(rank - len(steps.shapes[value])):
        value = steps.call("expand_dims", value, axis=1)
    return value


def _where(mask: str | None, value: str, other: str | float, steps: Steps) -> str:
    """`value` where the mask is true, and `other` elsewhere."""
    if mask is None:
        return value
    if isinstance(other, str):
        return steps.call("where", mask, value, other)
    return steps.add(Operation("where", (Input(0), Input(1), other)), mask, value)


def as_attention_masks(model: Model, shapes: Mapping[str, Any], names: Collection[str]) -> Model:
    """The model with the query masks of the nodes `names` as part of their attention masks; values have `shapes`."""
    nodes: list[Node] = []
    # All calls of one layer must have the same arguments.
    kept = {node.key for node in model.nodes if node.name not in names or not _reads_query_mask(node.layer)}
    for node in model.nodes:
        nodes += [node] if node.key in kept else _with_attention_mask(node, shapes)
    return replace(model, nodes=tuple(nodes))


def _reads_query_mask(layer: Layer) -> bool:
    return isinstance(unwrap(layer), MultiHeadAttention) and "query_mask" in unwrap(layer).inputs


def _with_attention_mask(node: Node, shapes: Mapping[str, Any]) -> list[Node]:
    values = dict(zip(unwrap(node.layer).inputs, node.inputs, strict=True))
    mask = f"{node.name}/queries"
    added = [Node(mask, Operation("expand_dims", options=(("axis", -1),)), (values.pop("query_mask"),))]
    if "attention_mask" in values:
        if len(shapes[values["attention_mask"]]) == 3:
            # The attention mask has an axis of heads.
            added.append(Node(f"{mask}/heads", Operation("expand_dims", options=(("axis", 1),)), (mask,)))
            mask = added[-1].name
        both = Operation("logical_and", (Input(0), Input(1)))
        added.append(Node(f"{node.name}/attention_mask", both, (values["attention_mask"], mask)))
        mask = added[-1].name
    values["attention_mask"] = mask
    layer = replace_options(node.layer, inputs=tuple(values))
    return [*added, Node(node.name, layer, tuple(values.values()), node.params)]
