"""A model's inputs and outputs as sequences of unlike length: `lengths` and `segment_ids` by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from ..ragged.sequences import Sequences, of


def sequences_of(values: Mapping[str, Any], lengths: Any, segment_ids: Any) -> dict[str, Sequences | None]:
    """Where the sequences of each input are, by its name.

    `lengths` or `segment_ids` are those of every input, or a dict by input name, which leaves out inputs that are no
    sequences. Raises `ValueError` for both, for a name that is none of an input, and for inputs without a length.
    """
    if lengths is not None and segment_ids is not None:
        raise ValueError("lengths and segment_ids must not both be given: a row has one sequence or several")
    argument, given = ("lengths", lengths) if segment_ids is None else ("segment_ids", segment_ids)
    by_name = dict(given) if isinstance(given, Mapping) else dict.fromkeys(values, given)
    found: dict[str, Sequences | None] = dict.fromkeys(values)
    for name, extent in by_name.items():
        if name not in values:
            known = ", ".join(repr(one) for one in values)
            raise ValueError(f"{argument} must be for inputs of the model, {known}, got {name!r}")
        shape = jnp.shape(values[name])
        if len(shape) < 2:
            raise ValueError(f"input {name!r} of shape {shape} has no length, but {argument} were given for it")
        found[name] = of(shape[:2], **{argument: extent})
    return found


def extents(sequences: Mapping[str, Sequences | None], names: Sequence[str]) -> Any:
    """`lengths` or `segment_ids` of one output, or a dict of them by name for several; None for those without."""
    named = {name: _extent(sequences[name]) for name in names}
    return named[names[0]] if len(names) == 1 else named


def _extent(sequences: Any) -> Any:
    if isinstance(sequences, tuple):
        return tuple(_extent(one) for one in sequences)
    return None if sequences is None else sequences.extent
