"""Which values will have a mask in Keras behind the scenes, and which of them a layer must read without it."""

from __future__ import annotations

from collections.abc import Mapping

from ..layers import Layer
from ..layers.attending import Attending
from ..layers.nesting import core
from ..model import Model, Node
from .kind import Kind


def masked_values(model: Model, kinds: Mapping[type[Layer], Kind]) -> set[str]:
    """The values, perhaps one too many, that have a mask where Keras runs the model."""
    found: set[str] = set()
    for node in model.nodes:
        layer = core(node.layer)
        kind = kinds.get(type(layer))
        roles = getattr(layer, "inputs", None) or ()
        # Of those that read masks as inputs, Keras's layer has none, and operations are written for it.
        if kind is None or (kind.reads_masks and roles):
            continue
        mask = kind.mask(layer) if callable(kind.mask) else kind.mask
        if isinstance(mask, Layer) or (mask == "on" and ("mask" in roles or not found.isdisjoint(node.inputs))):
            found.add(node.name)
    return found


def read_unmasked(node: Node, kinds: Mapping[type[Layer], Kind], masked: set[str]) -> set[str]:
    """The masked values whose masks Keras would give to the layer, which is to have none of them."""
    layer = core(node.layer)
    kind = kinds.get(type(layer))
    if kind is None or masked.isdisjoint(node.inputs):
        return set()
    roles = getattr(layer, "inputs", None) or ()
    if isinstance(layer, Attending) and "mask" not in kind.arguments(layer):
        pairs = zip(roles, node.inputs, strict=True)
        wanted = {value for role, value in pairs if f"{role}_mask" not in roles and not role.endswith("mask")}
    elif (kind.takes_mask and "mask" not in roles) or (kind.reads_masks and not roles):
        wanted = set(node.inputs)
    else:
        return set()
    return wanted & masked
