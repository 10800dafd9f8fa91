"""Whether real Keras hands on the masks that a model reads: what is written is read again, and the two compared.

Keras hands masks on behind the scenes, from `Masking` and `Embedding` on. A model that was built here may have the
layers and not read the masks, or give a layer that merges other masks than Keras would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...layers import Embedding, Layer, Masking, MaskOf, Maximum, Minimum, Multiply, NonzeroMask, Operation, Pick
from ...layers.nesting import unwrap
from ...model.graph import Model


def has_masks(model: Model) -> bool:
    """Whether Keras hands on any mask in a model, or a layer that merges reads one."""
    return makes_masks(model) or any(merges_masks(node.layer) for node in model.nodes)


def makes_masks(model: Model) -> bool:
    """Whether Keras makes any mask in a model, which it then hands on."""
    return any(_makes_mask(node.layer) for node in model.nodes)


def merges_masks(layer: Layer) -> bool:
    """Whether a layer merges by masks, which no argument of Keras's call gives it."""
    return isinstance(unwrap(layer), (Maximum, Minimum, Multiply)) and "mask" in unwrap(layer).inputs


def differing(model: Model, reread: Model, names: Mapping[str, str]) -> list[str]:
    """The nodes of a model whose masks are not those of the same node as Keras reads it.

    `names` are those of the model's nodes in the file.
    """
    table: dict[Any, int] = {}
    ours, theirs = _told(model, names, table), _told(reread, {}, table)
    differ = [key for key in theirs if key in ours and sorted(ours[key].values()) != sorted(theirs[key].values())]
    return [name for key in differ for name in ours[key]]


def _makes_mask(layer: Layer) -> bool:
    layer = unwrap(layer)
    return isinstance(layer, Masking) or (isinstance(layer, Embedding) and layer.mask_zero)


def _told(model: Model, names: Mapping[str, str], table: dict[Any, int]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """By each layer's name in the file, and then by its nodes, what masks it reads.

    Where the layer merges, a mask is the number that `table` has for what it is made of. Elsewhere its role will do,
    for every mask that such a layer reads is written as an argument of its call.
    """
    made: dict[str, int] = {}
    found: dict[str, dict[str, tuple[Any, ...]]] = {}

    def number(*what: Any) -> int:
        return table.setdefault(what, len(table))

    for name in model.inputs:
        made[name] = number(names.get(name, name))
    for node in model.nodes:
        layer, key = unwrap(node.layer), names.get(node.key, node.key)
        if isinstance(layer, (MaskOf, NonzeroMask, Operation, Pick)):
            made[node.name] = number(layer, *(made[value] for value in node.inputs))
            continue
        roles = getattr(layer, "inputs", ())
        masked = [i for i, role in enumerate(roles) if role.endswith("mask")]
        read = [made[value] for i, value in enumerate(node.inputs) if i not in masked]
        made[node.name] = number(key, *read)
        told = (str(made[node.inputs[i]]) if merges_masks(layer) else roles[i] for i in masked)
        found.setdefault(key, {})[node.name] = tuple(told) if merges_masks(layer) else tuple(sorted(told))
    return found
