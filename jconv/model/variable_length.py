"""`lengths` and `segment_ids` of a model's inputs and outputs, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from ..layers.base import map_inputs
from ..ragged.sequences import Sequences, make_sequences
from .nodes import unwrap_single


def sequences_of(values: Mapping[str, Any], lengths: Any, segment_ids: Any) -> dict[str, Sequences | None]:
    """The positions of the sequences in each input, by name.

    `lengths` or `segment_ids` apply to every input, or are a dict by the names of those inputs that are sequences.
    Raises `ValueError` if both are given, for an unknown name, and for an input without a length.
    """
    if lengths is not None and segment_ids is not None:
        raise ValueError("lengths and segment_ids must not both be given: a row has one sequence or several")
    argument, given = ("lengths", lengths) if segment_ids is None else ("segment_ids", segment_ids)
    by_name = dict(given) if isinstance(given, Mapping) else dict.fromkeys(values, given)
    result: dict[str, Sequences | None] = dict.fromkeys(values)
    for name, extent in by_name.items():
        if name not in values:
            known = ", ".join(repr(one) for one in values)
            raise ValueError(f"{argument} must be for inputs of the model, {known}, got {name!r}")
        shape = jnp.shape(values[name])
        if len(shape) < 2:
            raise ValueError(f"input {name!r} of shape {shape} has no length, but {argument} were given for it")
        result[name] = make_sequences(shape[:2], **{argument: extent})
    return result


def extents(sequences: Mapping[str, Sequences | None], names: Sequence[str]) -> Any:
    """The `lengths` or `segment_ids` of an output, None without a length; for several outputs a dict by name."""
    return unwrap_single(
        {name: map_inputs(lambda one: None if one is None else one.extent, sequences[name]) for name in names}
    )
