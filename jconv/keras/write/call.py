"""One call of a layer as the arguments of Keras's `call`."""

from __future__ import annotations

from typing import Any

from ...layers.nesting import unwrap
from ...model.graph import Node
from ..kinds import kind_of
from ..layers import NestedModel
from .implicit_masks import merges_masks


def call_arguments(node: Node, tensors: list[dict[str, Any]], has_masks: bool) -> dict[str, Any]:
    """The `args` and `kwargs` of a node's call on `tensors`; `has_masks` if Keras propagates masks in the model."""
    layer = unwrap(node.layer)
    kind = kind_of(layer)
    roles = getattr(layer, "inputs", None)
    if roles and merges_masks(layer):
        # Keras propagates these masks itself.
        return {"args": [[t for t, role in zip(tensors, roles, strict=True) if role != "mask"]], "kwargs": {}}
    kwargs: dict[str, Any] = {}
    if kind is not None:
        kwargs = {arg: getattr(layer, field) for arg, field in kind.call_options.items() if getattr(layer, field)}
    if has_masks and (isinstance(node.layer, NestedModel) or (kind is not None and kind.takes_mask)):
        # Without the argument, Keras stores the mask that it propagates while it loads the file.
        kwargs["mask"] = None
    if not roles or kind is None or not isinstance(roles, tuple):
        return {"args": [tensors if node.layer.has_several_inputs else tensors[0]], "kwargs": kwargs}
    given = dict(zip(roles, tensors, strict=True))
    arguments = dict(kind.arguments(layer) or {"inputs": (next(role for role in roles if role != "mask"),)})
    arguments.setdefault("mask", ("mask",))
    args: list[Any] = []
    for position, (argument, parts) in enumerate(arguments.items()):
        found = [given.get(part) for part in parts]
        is_mask = argument == "mask"
        # Without the argument Keras uses the masks of the inputs. A list of masks prevents that, even if all are None.
        if not any(found) and not (has_masks and is_mask and len(parts) > 1):
            continue
        # A list of masks has one for each input; other lists end with the last tensor.
        while found[-1] is None and not is_mask:
            found.pop()
        value = found if len(parts) > 1 else found[0]
        if position == 0:
            args.append(value)
        else:
            kwargs[argument] = value
    return {"args": args, "kwargs": kwargs}
