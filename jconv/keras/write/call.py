"""The call of a layer into Keras's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...layers.nesting import unwrap
from ...model.graph import Node
from ..read.nested import Nested
from .implicit_masks import merges_masks
from .layer import BY_LAYER


def call_of(node: Node, tensors: list[dict[str, Any]], masking: bool) -> dict[str, Any]:
    """The arguments of a node's call on `tensors`; with `masking` Keras hands on masks behind the scenes."""
    bare = unwrap(node.layer)
    kind = BY_LAYER.get(type(bare))
    roles = getattr(bare, "inputs", None)
    if roles and merges_masks(bare):
        # Keras hands these on by itself.
        values = [tensor for tensor, role in zip(tensors, roles, strict=True) if role != "mask"]
        return {"args": [values], "kwargs": {}}
    options: dict[str, Any] = {}
    if kind is not None:
        options = {arg: getattr(bare, field) for arg, field in kind.call_options.items() if getattr(bare, field)}
        if masking and kind.takes_mask:
            # A call without any options keeps the mask that Keras finds while it loads the file, whatever comes
            # of it when the model runs.
            options["mask"] = None
    if isinstance(node.layer, Nested) and masking:
        options["mask"] = None
    if not roles or kind is None or not isinstance(roles, tuple):
        return {"args": [tensors if node.layer.has_several_inputs else tensors[0]], "kwargs": options}
    given = dict(zip(roles, tensors, strict=True))
    wanted: Mapping[str, tuple[str, ...]] = kind.arguments(bare) or {"inputs": (next(r for r in roles if r != "mask"),)}
    args: list[Any] = []
    kwargs: dict[str, Any] = dict(options)
    for position, (argument, parts) in enumerate({**wanted, "mask": wanted.get("mask", ("mask",))}.items()):
        found = [given.get(part) for part in parts]
        # Without a list of masks Keras would take those of the inputs.
        unmasked = masking and argument == "mask" and len(parts) > 1
        if not any(found) and not unmasked:
            continue
        # A list of masks must have one for each input, also where the last are null.
        while found[-1] is None and argument != "mask":
            found.pop()
        value = found if len(parts) > 1 else found[0]
        if position == 0:
            args.append(value)
        else:
            kwargs[argument] = value
    return {"args": args, "kwargs": kwargs}
