"""Merging layers that read masks, as operations: Keras's layers have no argument for the masks of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from ...layers import ChannelsFirst, Frozen, InDtype, Layer, Maximum, Minimum, Multiply, Operation
from ...layers.nesting import unwrap
from ...layers.operations.operation import Input

Add = Callable[[Operation, tuple[str, ...]], str]

FUNCTIONS = {Maximum: "maximum", Minimum: "minimum", Multiply: "multiply"}


def write_masked(
    layer: Layer,
    inputs: tuple[str, ...],
    shapes: Mapping[str, Any],
    add: Add,
    cast: Callable[[str, str], str],
) -> str:
    """The value of a layer that merges by masks among its `inputs`, maybe inside others, in operations.

    `add` puts an operation on values into the config, `cast` gives a value in another type.
    """
    if isinstance(layer, InDtype):
        inner = tuple(value if _is_mask(layer, i) else cast(value, layer.dtype) for i, value in enumerate(inputs))
        return cast(write_masked(layer.layer, inner, shapes, add, cast), layer.dtype)
    if isinstance(layer, ChannelsFirst):
        inner = tuple(_moved(value, 1, -1, shapes, add) for value in inputs)
        return _moved(write_masked(layer.layer, inner, shapes, add, cast), -1, 1, shapes, add)
    if isinstance(layer, Frozen):
        return write_masked(layer.layer, inputs, shapes, add, cast)
    assert isinstance(layer, (Maximum, Minimum, Multiply))
    return _merged(layer, inputs, shapes, add)


def _is_mask(layer: Layer, position: int) -> bool:
    roles = getattr(unwrap(layer), "inputs", ())
    return position < len(roles) and roles[position] == "mask"


def _moved(value: str, source: int, destination: int, shapes: Mapping[str, Any], add: Add) -> str:
    """A value with an axis elsewhere, where it has two beside the batch."""
    move = Operation("moveaxis", options=(("destination", destination), ("source", source)))
    return add(move, (value,)) if len(shapes[value]) > 1 else value


def _merged(layer: Maximum | Minimum | Multiply, inputs: tuple[str, ...], shapes: Mapping[str, Any], add: Add) -> str:
    """The value that a layer with masks among its `inputs` gives."""

    def expanded(value: str, axis: int) -> str:
        return add(Operation("expand_dims", options=(("axis", axis),)), (value,))

    pairs = layer.values_and_masks(inputs)
    masks = [None if mask is None else expanded(mask, -1) for _, mask in pairs]
    values = [value for value, _ in pairs]
    rank = max(len(shapes[value]) for value in values)
    for i, value in enumerate(values):
        for _ in range(rank - len(shapes[value])):
            values[i] = expanded(values[i], 1)

    def two(function: str) -> Callable[[str, str], str]:
        return lambda a, b: add(Operation(function, (Input(0), Input(1))), (a, b))

    def where(mask: str | None, value: str, other: str | float) -> str:
        if mask is None:
            return value
        if isinstance(other, str):
            return add(Operation("where", (Input(0), Input(1), Input(2))), (mask, value, other))
        return add(Operation("where", (Input(0), Input(1), other)), (mask, value))

    merge, either = two(FUNCTIONS[type(layer)]), two("logical_or")
    if isinstance(layer, Multiply):
        product = reduce(merge, (where(mask, value, 1.0) for value, mask in zip(values, masks, strict=True)))
        present = [mask for mask in masks if mask is not None]
        return where(reduce(either, present), product, 0.0) if len(present) == len(masks) else product
    out, counted = values[0], masks[0]
    for value, mask in zip(values[1:], masks[1:], strict=True):
        value = where(mask, value, out)
        out = merge(where(counted, out, value), value)
        counted = None if counted is None or mask is None else either(counted, mask)
    return out
