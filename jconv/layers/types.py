"""The types of shapes and arrays in the signatures of layers."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int | None, ...]
Arrays = dict[str, jax.Array]
Params = Mapping[str, Any]
"""The trained arrays, by name."""
State = Mapping[str, Any]
"""The other arrays, by name."""
Key = jax.Array | None
"""A `jax.random.key`, or None where no random numbers are needed."""
ReceptiveField = tuple[int | Fraction, int | Fraction]
ArrayShapes = dict[str, tuple[int, ...]]
OutputAndState = tuple[Any, dict[str, Any]]
OutputAndSequences = tuple[Any, dict[str, Any], Any]
"""An output, the new state, and the `jconv.ragged.Sequences` of the output."""
