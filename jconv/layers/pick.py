"""Selection of one output of a layer with several outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import is_integer
from .base import Array, Key, Layer, Params, Shape, State, is_tuple_of_shapes


@dataclass(frozen=True)
class Pick(Layer):
    """Selects output `index`, counted from 0, of a layer that returns a tuple.

    `Pick` has one input node, whose value is a tuple of arrays, so `has_several_inputs` is False. Raises `ValueError`
    if `index` is not a nonnegative integer.

    >>> Pick(1).output_shape(((7, 4), (4,)))
    (4,)
    >>> Pick(1).apply({}, {}, (jnp.zeros(2), jnp.ones(2)))[0].tolist()
    [1.0, 1.0]
    """

    index: int

    def __post_init__(self) -> None:
        if not is_integer(self.index) or self.index < 0:
            raise ValueError(f"Pick: index must be an integer of at least 0, got {self.index!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The shape of the selected output."""
        if not is_tuple_of_shapes(input_shape) or len(input_shape) <= self.index:
            raise ValueError(f"Pick: index={self.index} needs a layer with as many outputs, got shape {input_shape}")
        return tuple(input_shape[self.index])

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> tuple[Any, dict[str, Any], Any]:
        """See `Layer.apply_sequences`."""
        y, state = self.apply(params, state, x)
        return y, state, sequences[self.index]

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.asarray(x[self.index])

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x[self.index]
