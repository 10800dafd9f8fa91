"""Models inside a model: what is kept of them when they are written out flat, and back into layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...layers import MaskOf, NonzeroMask, Operation, Pick
from ...model.graph import Model, Node
from .calls import read_refs, refs_in
from .nested import Nested

# What stands in a graph and is no layer of the file.
NO_LAYERS = (Operation, Pick, MaskOf, NonzeroMask)
INPUT_TYPES = ("float16", "bfloat16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")


@dataclass(frozen=True)
class InnerCall:
    """A call of a model inside a model, `class_name` that of Keras.

    The names of its nodes begin with `name` and a slash, the keys of their arrays with `key` and one. `inputs` are the
    values that it reads, `input_layers` what it calls them and their types, `outputs` the values that it gives.
    """

    name: str
    key: str
    class_name: str
    input_layers: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class LoadedModel(Model):
    """A model that also knows how it stood in its file, so that it can be written as that file was.

    `inner` are the calls of models inside it, `folders` each key of params and state with its folder in the file,
    none where the file had more arrays than the model has; `input_types` are those that it said, by the inputs' names.
    A model inside another one has its own `class_name`.
    """

    inner: tuple[InnerCall, ...] = field(default=(), repr=False)
    folders: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    class_name: str = field(default="Functional", repr=False)
    input_types: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def input_layers(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The name and the type of each input of a model that was read from a `config`, as far as that says them."""
    own = [entry["config"] for entry in config["layers"] if entry["class_name"] == "InputLayer"]
    types = {c.get("name"): input_type(c) for c in own}
    if "input_layers" not in config:
        return tuple(types.items())[:1]
    refs = refs_in(read_refs(config["input_layers"], "input_layers"))
    return tuple((ref.layer, types.get(ref.layer, "")) for ref in refs)


def input_type(config: Mapping[str, Any]) -> str:
    """The type in the `config` of an InputLayer; "" where it says none."""
    dtype = config.get("dtype")
    return dtype if dtype in INPUT_TYPES else ""


def folded(model: Model, shapes: Mapping[str, Any]) -> Model:
    """The model, whose values have `shapes`, with each model inside it as a `Nested` layer.

    One whose nodes are no model any more, or read or give other values than they did in the file, stays written out.
    """
    calls = _outermost(getattr(model, "inner", ()))
    groups: dict[str, list[Node]] = {name: [] for name in calls}
    owners = owners_of(model)
    for node in model.nodes:
        if node.name in owners:
            groups[owners[node.name]].append(node)
    # What is read of each from elsewhere.
    given = {value for n in model.nodes for value in n.inputs if owners.get(value) != owners.get(n.name)}
    given |= set(model.outputs)
    by_key: dict[str, list[InnerCall]] = {}
    for call in calls.values():
        if groups[call.name]:
            by_key.setdefault(call.key, []).append(call)
    # An input of which nothing is needed may be gone.
    by_key = {key: called for key, called in by_key.items() if all(v in shapes for c in called for v in c.inputs)}
    made: dict[str, Nested] = {}
    for called in by_key.values():
        whole = max(called, key=lambda call: (len(groups[call.name]), len(set(call.inputs))))
        nested = _nested(whole, called, groups, model, shapes)
        if nested is None:
            continue
        if all(_is_call(nested, call, whole, groups[call.name], given) for call in called):
            made |= {call.name: Nested(nested) for call in called}
    if not made:
        return model
    try:
        return replace(model, nodes=tuple(_nodes(model, calls, owners, made, given)))
    except ValueError:
        # The nodes between two of a model read the one and are read by the other.
        return model


def owners_of(model: Model) -> dict[str, str]:
    """By the name of each node that is in an inner model, the name of the outermost call that it is in."""
    calls = _outermost(getattr(model, "inner", ()))
    found = ((node.name, next((above for above in _above(node.name) if above in calls), None)) for node in model.nodes)
    return {name: owner for name, owner in found if owner is not None}


def _outermost(calls: Sequence[InnerCall]) -> dict[str, InnerCall]:
    """The calls that are in no other, by their names."""
    names = {call.name for call in calls}
    return {call.name: call for call in calls if names.isdisjoint(_above(call.name))}


def _above(name: str) -> list[str]:
    """What stands before each slash of a name."""
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _nested(
    call: InnerCall,
    called: list[InnerCall],
    groups: Mapping[str, list[Node]],
    model: Model,
    shapes: Mapping[str, Any],
) -> LoadedModel | None:
    """The model that a call is of; None where its nodes make none."""
    names = {node.name: node.name.removeprefix(f"{call.name}/") for node in groups[call.name]}
    inputs: list[str] = []
    for position, _ in enumerate(call.inputs):
        name = call.input_layers[position][0] if position < len(call.input_layers) else "input"
        while name in inputs or name in names.values():
            name += "_"
        inputs.append(name)
    # Of an input that is given twice the first.
    names |= dict(zip(reversed(call.inputs), reversed(inputs), strict=True))
    outputs = tuple(names[value] for value in call.outputs if value in names)
    if not outputs or any(value not in names for node in groups[call.name] for value in node.inputs):
        return None
    nodes = tuple(
        Node(names[n.name], n.layer, tuple(names[v] for v in n.inputs), _below(n.params, call))
        for n in groups[call.name]
    )
    inner = tuple(
        replace(
            other,
            name=other.name.removeprefix(f"{call.name}/"),
            key=other.key.removeprefix(f"{call.key}/"),
            inputs=tuple(names.get(value, value) for value in other.inputs),
            outputs=tuple(names.get(value, value) for value in other.outputs),
        )
        for other in getattr(model, "inner", ())
        if other.name.startswith(f"{call.name}/")
    )
    read = [[shapes[value] for value in other.inputs] for other in called]
    if any(len({len(shape) for shape in same}) > 1 for same in zip(*read, strict=True)):
        return None
    common = tuple(
        tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*same, strict=True))
        for same in zip(*read, strict=True)
    )
    types = tuple((name, dtype) for name, (_, dtype) in zip(inputs, call.input_layers, strict=False))
    try:
        return LoadedModel(nodes, tuple(inputs), outputs, common, inner, (), call.class_name, types)
    except ValueError:
        # Some of it is read elsewhere alone.
        return None


def _below(key: str | None, call: InnerCall) -> str | None:
    return None if key is None else key.removeprefix(f"{call.key}/")


def _is_call(nested: LoadedModel, call: InnerCall, whole: InnerCall, nodes: list[Node], given: set[str]) -> bool:
    """Whether `nodes` are what a call of a model computes, and no more of them is in `given` than its outputs."""
    values = dict(zip(nested.inputs, call.inputs, strict=True))
    values |= {node.name: f"{call.name}/{node.name}" for node in nested.nodes}
    wanted = {values[node.name]: node for node in nested.nodes}
    for node in nodes:
        its = wanted.get(node.name)
        if its is None or its.layer != node.layer or tuple(values[v] for v in its.inputs) != node.inputs:
            return False
        if not isinstance(node.layer, NO_LAYERS) and node.key != f"{call.key}/{its.key}":
            return False
        if node.name in given and node.name not in call.outputs:
            return False
    stripped = [value.removeprefix(f"{call.name}/") for value in call.outputs if value not in call.inputs]
    return stripped == [value.removeprefix(f"{whole.name}/") for value in whole.outputs if value not in whole.inputs]


def _nodes(
    model: Model,
    calls: Mapping[str, InnerCall],
    owners: Mapping[str, str],
    made: Mapping[str, Nested],
    given: set[str],
) -> list[Node]:
    """The model's nodes, with those of each call in `made` as one, and one for each of several outputs in `given`."""
    nodes: list[Node] = []
    done: set[str] = set()
    present = {node.name for node in model.nodes}
    for node in model.nodes:
        owner = owners.get(node.name, "")
        if owner not in made:
            nodes.append(node)
            continue
        if owner in done:
            continue
        done.add(owner)
        call, layer = calls[owner], made[owner]
        if len(layer.model.outputs) == 1:
            (name,) = (value for value in call.outputs if value in present)
            nodes.append(Node(name, layer, call.inputs, call.key))
            continue
        nodes.append(Node(call.name, layer, call.inputs, call.key))
        for name in dict.fromkeys(call.outputs):
            if owners.get(name) == owner and name in given:
                index = layer.model.outputs.index(name.removeprefix(f"{call.name}/"))
                nodes.append(Node(name, Pick(index), (call.name,)))
    return nodes
