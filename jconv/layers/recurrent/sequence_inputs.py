"""The named inputs of recurrent layers: a sequence, and optionally initial states and a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..base import Layer, shapes_match
from ..types import Shape


def check_input_names(layer: Layer, names: Any, states: Sequence[str]) -> tuple[str, ...]:
    """`names` as a tuple: `"sequence"`, optionally all of `states`, optionally `"mask"`, in any order.

    Raises `ValueError` for anything else.
    """
    names = tuple(names) if isinstance(names, (tuple, list)) else (names,)
    with_states = ("sequence", *states)
    allowed = [("sequence",), with_states, ("sequence", "mask"), (*with_states, "mask")]
    if not any(len(names) == len(some) and set(names) == set(some) for some in allowed):
        also = f" and all or none of {', '.join(states)}" if states else ""
        raise ValueError(f"{type(layer).__name__}: inputs must be sequence, optionally mask{also}, got {names}")
    return names


def inputs_by_name(names: Sequence[str], x: Any) -> dict[str, Any]:
    """The inputs or their shapes by name. `x` is a tuple if there are several names."""
    return dict(zip(names, x if len(names) > 1 else (x,), strict=True))


def shapes_by_name(
    layer: Layer, names: Sequence[str], input_shape: Any, state_shapes: Callable[[Shape], Mapping[str, Shape]]
) -> dict[str, Shape]:
    """The inputs' shapes by name.

    Raises `ValueError` for a wrong number of shapes, and if the shapes of states and mask do not match the sequence.
    None matches any size.
    """
    kind = type(layer).__name__
    if len(names) > 1 and (
        len(input_shape) != len(names) or not all(isinstance(s, (tuple, list)) for s in input_shape)
    ):
        raise ValueError(f"{kind} needs a tuple of shapes, one for each of {', '.join(names)}, got {input_shape}")
    shapes = {name: tuple(shape) for name, shape in inputs_by_name(names, input_shape).items()}
    sequence = shapes["sequence"]
    for name, wanted in {**state_shapes(sequence), "mask": sequence[:1]}.items():
        if name in shapes and not shapes_match(shapes[name], wanted):
            raise ValueError(
                f"{kind} on a sequence of shape {sequence} needs {name} of shape {wanted}, got {shapes[name]}"
            )
    return shapes
