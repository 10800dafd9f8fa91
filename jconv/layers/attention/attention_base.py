"""The base class of attention layers: named inputs, masks, dropout of the attention weights, one or two outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ...checks import check_dtype
from ...reference.convolution import exact
from ..base import Layer, check_rate, is_tuple_of_shapes, name_layer_in_errors, shapes_match
from ..regularization import Dropout
from ..types import Array, Arrays, Key, OutputAndState, Params, State

Drop = Callable[[jax.Array], jax.Array]
"""Dropout of the attention weights."""
MASKS = ("attention_mask", "query_mask", "value_mask", "key_mask")


class AttentionBase(Layer):
    """Base class. `inputs` names the inputs in order; a subclass implements `_attend` and `_reference`."""

    dropout: float
    return_attention_scores: bool
    inputs: tuple[str, ...]

    _receptive_field = None
    CALL_OPTIONS: ClassVar[tuple[str, ...]] = ("inputs", "causal", "return_attention_scores")

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`(y, state)`; training with `dropout` sets some attention weights to zero."""
        self.check(params, state, x)
        if training and self.dropout > 0 and key is None:
            raise ValueError(f"{type(self).__name__}: training with dropout={self.dropout} needs a key, got None")
        named = {name: jnp.asarray(a) for name, a in zip(self.inputs, x, strict=True)}
        floats = {name: a for name, a in named.items() if name not in MASKS}
        arrays = {name: jnp.asarray(a) for name, a in params.items()}
        for name, array in {**floats, **arrays}.items():
            check_dtype(name, array)
        dtype = jnp.result_type(*floats.values(), *arrays.values())
        outputs = self._attend(
            {name: a.astype(dtype) for name, a in arrays.items()},
            {name: a.astype(dtype) for name, a in floats.items()},
            {name: a != 0 for name, a in named.items() if name in MASKS},
            lambda weights: Dropout(self.dropout).apply({}, {}, weights, training=training, key=key)[0],
        )
        return outputs if self.return_attention_scores else outputs[0], dict(state)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy; raises `ValueError` in training with dropout, which the reference does not compute."""
        self.check(params, state, x)
        if training and self.dropout > 0:
            raise ValueError(
                f"{type(self).__name__}: the reference has no mask for training with dropout={self.dropout}; "
                "use dropout=0"
            )
        named = {name: exact(a) for name, a in zip(self.inputs, x, strict=True)}
        outputs = self._reference(
            {name: exact(a) for name, a in params.items()},
            {name: a for name, a in named.items() if name not in MASKS},
            {name: a.real != 0 for name, a in named.items() if name in MASKS},
        )
        return outputs if self.return_attention_scores else outputs[0]

    def _attend(self, params: Arrays, named: Arrays, masks: Arrays, drop: Drop) -> tuple[jax.Array, jax.Array]:
        """`(output, attention weights)`, from arrays of one dtype and boolean masks."""
        raise NotImplementedError

    def _reference(self, params: Params, named: Mapping[str, Array], masks: Params) -> tuple[Array, Array]:
        """`_attend` in NumPy."""
        raise NotImplementedError

    def _check_options(self, known: tuple[str, ...]) -> None:
        """Raise `ValueError` for unknown, missing or repeated inputs, and for a `dropout` outside 0 to 1."""
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if (
            not set(self.inputs) <= set(known)
            or not {"query", "value"} <= set(self.inputs)
            or len(set(self.inputs)) < len(self.inputs)
        ):
            raise ValueError(
                f"{type(self).__name__}: inputs must be 'query', 'value' and any others of {', '.join(known)}, each "
                f"once, got {self.inputs}"
            )
        with name_layer_in_errors(self):
            check_rate("dropout", self.dropout)

    def _shapes(self, input_shape: Any) -> dict[str, tuple[Any, ...]]:
        """The inputs' shapes by name; `key` defaults to `value`. Raises `ValueError` for a wrong number of shapes."""
        if not is_tuple_of_shapes(input_shape) or len(input_shape) != len(self.inputs):
            raise ValueError(
                f"{type(self).__name__} needs a tuple of {len(self.inputs)} shapes, for {', '.join(self.inputs)}, got "
                f"{input_shape}"
            )
        shapes = {name: tuple(shape) for name, shape in zip(self.inputs, input_shape, strict=True)}
        return {"key": shapes["value"], **shapes}

    def _check_mask(self, name: str, given: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
        """Raise `ValueError` unless the mask's shape matches `wanted`."""
        if not shapes_match(given, wanted):
            raise ValueError(f"{type(self).__name__}: {name} must have shape {wanted}, got {given}")


def combine_masks(
    library: Any, masks: Mapping[str, Any], shape: tuple[int, ...], causal: bool, band: int | None
) -> Any:
    """A boolean mask of the query-key pairs that count, for scores (batch, ..., queries, keys); None if all count.

    A pair counts if all of these hold: `query_mask` (batch, queries), `value_mask` and `key_mask` (batch, keys) are
    true; with `causal`, the key is not later than the query; with `band`, their distance is less than `band`.
    `library` is `numpy` or `jax.numpy`.
    """
    row, column = library.arange(shape[-2])[None, :, None], library.arange(shape[-1])[None, None, :]
    parts = [masks["query_mask"][:, :, None]] if "query_mask" in masks else []
    parts += [masks[name][:, None, :] for name in ("value_mask", "key_mask") if name in masks]
    parts += [row >= column] if causal else []
    parts += [] if band is None else [library.abs(row - column) < band]
    if not parts:
        return None
    joint = reduce(and_, parts)
    return joint.reshape(joint.shape[0], *[1] * (len(shape) - 3), *joint.shape[1:])
