"""Compares the masks of a model with the masks that Keras propagates implicitly from `Masking` and `Embedding` layers.

A model that was not loaded from Keras may have these layers and not read their masks, or merge other masks than Keras.
The written config is therefore read again, as Keras would read it, and compared with the model. Each computation is
described by a number from a table, in which equal computations have equal numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...layers import Embedding, Layer, Masking, MaskOf, Maximum, Minimum, Multiply, NonzeroMask, Operation
from ...layers.nesting import replace_options, unwrap
from ...layers.operations.operation import Input
from ...model.graph import Model
from .inner_models import NOT_KERAS_LAYERS, owners_of


def has_masks(model: Model) -> bool:
    """Whether Keras propagates a mask in a model, or a merging layer reads one."""
    return makes_masks(model) or any(merges_masks(node.layer) for node in model.nodes)


def makes_masks(model: Model) -> bool:
    """Whether a layer of a model makes a mask, which Keras then propagates."""
    layers = [unwrap(node.layer) for node in model.nodes]
    return any(isinstance(x, Masking) or (isinstance(x, Embedding) and x.mask_zero) for x in layers)


def merges_masks(layer: Layer) -> bool:
    """Whether a layer reads the masks of the inputs that it merges. Keras's layer has no argument for them."""
    return isinstance(unwrap(layer), (Maximum, Minimum, Multiply)) and "mask" in unwrap(layer).inputs


def differing_nodes(model: Model, reread: Model, names: Mapping[str, str]) -> list[str]:
    """The nodes of a model that read other masks in `reread`, the model that is read from the written config.

    `names` are the names of the layers in the config.
    """
    table: dict[Any, int] = {}
    ours, theirs = _masks_read(model, names, table), _masks_read(reread, {}, table)
    differ = [key for key in theirs if key in ours and sorted(ours[key].values()) != sorted(theirs[key].values())]
    return [name for key in differ for name in ours[key]]


def _masks_read(model: Model, names: Mapping[str, str], table: dict[Any, int]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """The masks that each node reads, by the name of the layer in the config and the name of the node.

    A mask of a merging layer is the number of its computation. A mask of another layer is the name of the input, since
    it is written as an argument.
    """
    numbers = {name: _number(table, names.get(name, name)) for name in model.inputs}
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for node in model.nodes:
        layer, key = unwrap(node.layer), names.get(node.key, node.key)
        inputs = [numbers[value] for value in node.inputs]
        if isinstance(layer, NOT_KERAS_LAYERS):
            numbers[node.name] = _number(table, layer, *inputs)
            continue
        masks, others = _split_masks(layer, inputs)
        numbers[node.name] = _number(table, key, *others)
        read = (str(number) for _, number in masks) if merges_masks(layer) else sorted(role for role, _ in masks)
        found.setdefault(key, {})[node.name] = tuple(read)
    return found


def _number(table: dict[Any, int], *computation: Any) -> int:
    return table.setdefault(computation, len(table))


def _split_masks(layer: Any, inputs: list[int]) -> tuple[list[tuple[str, int]], list[int]]:
    """The masks among a layer's inputs, with the layer's names for them, and the other inputs."""
    roles = (*getattr(layer, "inputs", ()), *[""] * len(inputs))
    pairs = list(zip(roles, inputs, strict=False))
    return [(r, i) for r, i in pairs if r.endswith("mask")], [i for r, i in pairs if not r.endswith("mask")]


def without_inner_masks(model: Model) -> Model:
    """The model without the masks that pass into and out of nested models: Keras has no arguments for them.

    Masks that no other layer reads are also removed.
    """
    owners = owners_of(model)
    nodes = []
    for node in model.nodes:
        roles = tuple(getattr(unwrap(node.layer), "inputs", ()))
        is_inner = [node.name in owners or value in owners for value in node.inputs]
        kept = [i for i, role in enumerate(roles) if not (role.endswith("mask") and is_inner[i])]
        if len(kept) < len(roles):
            names = tuple(roles[i] for i in kept)
            # Merging layers name their inputs only if some are masks.
            layer = replace_options(node.layer, inputs=() if set(names) == {"value"} else names)
            node = replace(node, layer=layer, inputs=tuple(node.inputs[i] for i in kept))
        nodes.append(node)
    needed = set(model.outputs)
    for node in reversed(nodes):
        if node.name in needed or not isinstance(node.layer, NOT_KERAS_LAYERS):
            needed.update(node.inputs)
    return replace(model, nodes=tuple(node for node in nodes if node.name in needed))


def computes_the_same(model: Model, reread: Model, names: Mapping[str, str]) -> bool:
    """Whether a model and `reread` compute their outputs in the same way; see `differing_nodes`."""
    table: dict[Any, int] = {}
    return _output_numbers(model, names, table) == _output_numbers(reread, {}, table)


def _output_numbers(model: Model, names: Mapping[str, str], table: dict[Any, int]) -> list[int]:
    numbers = {name: _number(table, "input", position) for position, name in enumerate(model.inputs)}
    for node in model.nodes:
        layer, inputs = unwrap(node.layer), [numbers[value] for value in node.inputs]
        if isinstance(layer, (MaskOf, NonzeroMask)):
            for operation in mask_operations(layer):
                inputs = [_number(table, operation, *inputs)]
            numbers[node.name] = inputs[0]
        elif isinstance(layer, NOT_KERAS_LAYERS):
            numbers[node.name] = _number(table, layer, *inputs)
        else:
            masks, others = _split_masks(layer, inputs)
            masks = masks if "value" in getattr(layer, "inputs", ()) else sorted(masks)
            numbers[node.name] = _number(table, names.get(node.key, node.key), tuple(masks), *others)
    return [numbers[name] for name in model.outputs]


def mask_operations(layer: MaskOf | NonzeroMask) -> list[Operation]:
    """The operations that compute a mask."""
    if isinstance(layer, NonzeroMask):
        return [Operation("not_equal", (Input(0), 0))]
    differs = Operation("not_equal", (Input(0), layer.mask_value))
    return [differs, Operation("any", options=(("axis", -1), ("keepdims", False)))]
