"""Masks that lead into models inside a model, or out of them: Keras hands these on by itself, in no argument.

So they are left out of what is written. Whether Keras then hands on just these, it is read again to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...layers import MaskOf, NonzeroMask, Operation
from ...layers.nesting import replace_options, unwrap
from ...layers.operations.operation import Input
from ...model.graph import Model
from ..read.inner import NO_LAYERS, owners_of


def without_handed_on(model: Model) -> Model:
    """The model without the masks that the layers of inner models read, or other layers from them.

    The masks of which no layer is left are left out too.
    """
    owners = owners_of(model)
    nodes = []
    for node in model.nodes:
        roles = tuple(getattr(unwrap(node.layer), "inputs", ()))
        inside = [node.name in owners or value in owners for value in node.inputs]
        kept = [i for i, role in enumerate(roles) if not (role.endswith("mask") and inside[i])]
        if len(kept) < len(roles):
            left = tuple(roles[i] for i in kept)
            # Layers that merge name their inputs only where there are masks.
            layer = replace_options(node.layer, inputs=() if set(left) == {"value"} else left)
            node = replace(node, layer=layer, inputs=tuple(node.inputs[i] for i in kept))
        nodes.append(node)
    needed = set(model.outputs)
    for node in reversed(nodes):
        if node.name in needed or not isinstance(node.layer, NO_LAYERS):
            needed.update(node.inputs)
    nodes = [node for node in nodes if node.name in needed]
    return replace(model, nodes=tuple(nodes))


def computes_the_same(model: Model, reread: Model, names: Mapping[str, str]) -> bool:
    """Whether a model's outputs are made as those of what was written of it, with `names`, and is read again."""
    table: dict[Any, int] = {}
    return _made(model, names, table) == _made(reread, {}, table)


def _made(model: Model, names: Mapping[str, str], table: dict[Any, int]) -> list[int]:
    """For each output the number that `table` has for what it is made of."""

    def number(*what: Any) -> int:
        return table.setdefault(what, len(table))

    made = {name: number("input", position) for position, name in enumerate(model.inputs)}
    for node in model.nodes:
        layer, read = unwrap(node.layer), [made[value] for value in node.inputs]
        if isinstance(layer, (MaskOf, NonzeroMask)):
            # As they are written.
            against = layer.mask_value if isinstance(layer, MaskOf) else 0
            made[node.name] = number(Operation("not_equal", (Input(0), against)), *read)
            if isinstance(layer, MaskOf):
                last = Operation("any", options=(("axis", -1), ("keepdims", False)))
                made[node.name] = number(last, made[node.name])
        elif isinstance(layer, NO_LAYERS):
            made[node.name] = number(layer, *read)
        else:
            roles = tuple(getattr(layer, "inputs", ()))
            masks = tuple((role, i) for role, i in zip(roles, read, strict=False) if role.endswith("mask"))
            masks = masks if "value" in roles else tuple(sorted(masks))
            values = (
                i for role, i in zip((*roles, *[""] * len(read)), read, strict=False) if not role.endswith("mask")
            )
            made[node.name] = number(names.get(node.key, node.key), masks, *values)
    return [made[name] for name in model.outputs]
