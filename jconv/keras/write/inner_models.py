"""Nested models: from the flat graph of a loaded model back into layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...layers import MaskOf, NonzeroMask, Operation, Pick
from ...model.graph import Model, Node
from ..layers import NestedModel
from ..read.loaded_model import InnerCall, LoadedModel

# Layers of jconv that are not layers in a Keras file.
NOT_KERAS_LAYERS = (Operation, Pick, MaskOf, NonzeroMask)


def fold_inner_models(model: Model, shapes: Mapping[str, Any]) -> Model:
    """The model, whose values have `shapes`, with each nested model as a `NestedModel` layer.

    A nested model stays flat if its nodes have changed, or its values are read or computed elsewhere than in the file.
    """
    calls = _outermost(getattr(model, "inner", ()))
    owners = owners_of(model)
    groups: dict[str, list[Node]] = {name: [] for name in calls}
    for node in model.nodes:
        if node.name in owners:
            groups[owners[node.name]].append(node)
    # The values that are read outside of the call that they are in.
    read = {value for n in model.nodes for value in n.inputs if owners.get(value) != owners.get(n.name)}
    read |= set(model.outputs)
    by_key: dict[str, list[InnerCall]] = {}
    for call in calls.values():
        if groups[call.name]:
            by_key.setdefault(call.key, []).append(call)
    nested: dict[str, NestedModel] = {}
    for same in by_key.values():
        # An input that no output depends on may be missing.
        if not all(value in shapes for call in same for value in call.inputs):
            continue
        largest = max(same, key=lambda call: (len(groups[call.name]), len(set(call.inputs))))
        inner = _inner_model(largest, groups[largest.name], model, [[shapes[v] for v in c.inputs] for c in same])
        if inner is not None and all(_is_call(inner, call, largest, groups[call.name], read) for call in same):
            nested |= {call.name: NestedModel(inner) for call in same}
    if not nested:
        return model
    try:
        return replace(model, nodes=tuple(_fold_nodes(model, calls, owners, nested, read)))
    except ValueError:
        # A node outside of a nested model depends on one of its nodes, and another of its nodes depends on that node.
        return model


def owners_of(model: Model) -> dict[str, str]:
    """For each node of a nested model, the name of the outermost call that it is in."""
    calls = _outermost(getattr(model, "inner", ()))
    found = ((node.name, next((p for p in _prefixes(node.name) if p in calls), None)) for node in model.nodes)
    return {name: owner for name, owner in found if owner is not None}


def _outermost(calls: Sequence[InnerCall]) -> dict[str, InnerCall]:
    """By name, the calls that are in no other call."""
    names = {call.name for call in calls}
    return {call.name: call for call in calls if names.isdisjoint(_prefixes(call.name))}


def _prefixes(name: str) -> list[str]:
    """The part of a name before each of its slashes."""
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _inner_model(call: InnerCall, group: list[Node], model: Model, shapes: list[list[Any]]) -> LoadedModel | None:
    """The nested model of a call whose nodes are `group`; `shapes` has the shapes of the inputs of every call.

    None if the nodes do not form a model.
    """
    prefix = f"{call.name}/"
    names = {node.name: node.name.removeprefix(prefix) for node in group}
    inputs: list[str] = []
    for position, _ in enumerate(call.inputs):
        name = call.input_layers[position][0] if position < len(call.input_layers) else "input"
        while name in inputs or name in names.values():
            name += "_"
        inputs.append(name)
    # If two inputs are the same value, the first is read.
    names |= dict(zip(reversed(call.inputs), reversed(inputs), strict=True))
    outputs = tuple(names[value] for value in call.outputs if value in names)
    if not outputs or any(value not in names for node in group for value in node.inputs):
        return None
    if any(len({len(shape) for shape in each}) > 1 for each in zip(*shapes, strict=True)):
        return None

    def own_key(key: str) -> str:
        return key.removeprefix(f"{call.key}/")

    nodes = tuple(
        Node(names[n.name], n.layer, tuple(names[v] for v in n.inputs), n.params and own_key(n.params)) for n in group
    )
    inner = tuple(
        replace(
            other,
            name=other.name.removeprefix(prefix),
            key=own_key(other.key),
            inputs=tuple(names.get(value, value) for value in other.inputs),
            outputs=tuple(names.get(value, value) for value in other.outputs),
        )
        for other in getattr(model, "inner", ())
        if other.name.startswith(prefix)
    )
    # A size that differs between the calls is unknown.
    common = tuple(
        tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*each, strict=True))
        for each in zip(*shapes, strict=True)
    )
    types = tuple((name, dtype) for name, (_, dtype) in zip(inputs, call.input_layers, strict=False))
    try:
        return LoadedModel(nodes, tuple(inputs), outputs, common, inner, (), call.class_name, types)
    except ValueError:
        # A node is read only outside of the model.
        return None


def _is_call(inner: LoadedModel, call: InnerCall, largest: InnerCall, nodes: list[Node], read: set[str]) -> bool:
    """Whether `nodes` compute the same as a call of `inner`, and only its outputs are in `read`."""
    values = dict(zip(inner.inputs, call.inputs, strict=True))
    values |= {node.name: f"{call.name}/{node.name}" for node in inner.nodes}
    expected = {values[node.name]: node for node in inner.nodes}
    for node in nodes:
        own = expected.get(node.name)
        if own is None or own.layer != node.layer or tuple(values[v] for v in own.inputs) != node.inputs:
            return False
        if not isinstance(node.layer, NOT_KERAS_LAYERS) and node.key != f"{call.key}/{own.key}":
            return False
        if node.name in read and node.name not in call.outputs:
            return False

    def outputs_of(call: InnerCall) -> list[str]:
        return [value.removeprefix(f"{call.name}/") for value in call.outputs if value not in call.inputs]

    return outputs_of(call) == outputs_of(largest)


def _fold_nodes(
    model: Model,
    calls: Mapping[str, InnerCall],
    owners: Mapping[str, str],
    nested: Mapping[str, NestedModel],
    read: set[str],
) -> list[Node]:
    """The model's nodes, with one node for each call in `nested`, and one for each of several outputs in `read`."""
    nodes: list[Node] = []
    done: set[str] = set()
    present = {node.name for node in model.nodes}
    for node in model.nodes:
        owner = owners.get(node.name, "")
        if owner not in nested:
            nodes.append(node)
            continue
        if owner in done:
            continue
        done.add(owner)
        call, layer = calls[owner], nested[owner]
        if len(layer.model.outputs) == 1:
            (name,) = (value for value in call.outputs if value in present)
            nodes.append(Node(name, layer, call.inputs, call.key))
            continue
        nodes.append(Node(call.name, layer, call.inputs, call.key))
        for name in dict.fromkeys(call.outputs):
            if owners.get(name) == owner and name in read:
                index = layer.model.outputs.index(name.removeprefix(f"{call.name}/"))
                nodes.append(Node(name, Pick(index), (call.name,)))
    return nodes
