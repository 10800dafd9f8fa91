"""Masks: which steps of a sequence count. A mask is a value of the graph like others, (batch, length) of booleans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..reference import exact
from .base import Array, Layer, Shape, check_number, name_layer_in_errors


class _MaskValueLayer(Layer):
    mask_value: float

    def __post_init__(self) -> None:
        with name_layer_in_errors(self):
            check_number("mask_value", self.mask_value)

    def _check_shape(self, input_shape: Any) -> Shape:
        if not input_shape:
            raise ValueError(f"{type(self).__name__} needs an input with features after the batch, got shape ()")
        return tuple(input_shape)

    def _is_unmasked(self, x: Any) -> Any:
        """Whether a step counts: (..., 1) of booleans."""
        real = x.real if np.iscomplexobj(x) else x
        # In the type of x, where 0.1 of float32 is not 0.1 of float64.
        return (real != np.asarray(self.mask_value, real.dtype)).any(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Masking(_MaskValueLayer):
    """Keras's `Masking`: `x`, with zeros in the steps of which every feature is `mask_value`.

    The mask that Keras hands on beside it is a value of its own: `MaskOf(mask_value)` of the same `x`. Raises
    `ValueError` for a `mask_value` that is no number.

    >>> Masking(2.0).apply({}, {}, jnp.array([[[2.0, 1.0], [2.0, 2.0]]]))[0].tolist()
    [[[2.0, 1.0], [0.0, 0.0]]]
    """

    mask_value: float = 0.0

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        return self._check_shape(input_shape)

    def reference(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False
    ) -> Array:
        """The same in NumPy; steps are compared in the type of `x`, as they came."""
        self.check(params, state, x)
        return np.where(self._is_unmasked(np.asarray(x)), exact(x), 0)

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return jnp.where(self._is_unmasked(x), x, 0)


@dataclass(frozen=True)
class MaskOf(_MaskValueLayer):
    """The mask of a sequence (..., features): true where any feature differs from `mask_value`.

    What Keras's `Masking` hands on. The reference gives it as 0 and 1. Raises `ValueError` for a `mask_value` that is
    no number.

    >>> MaskOf(2.0).apply({}, {}, jnp.array([[[2.0, 1.0], [2.0, 2.0]]]))[0].tolist()
    [[True, False]]
    """

    mask_value: float = 0.0

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape without the features."""
        return self._check_shape(input_shape)[:-1]

    def reference(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False
    ) -> Array:
        """The same in NumPy, 0 and 1; steps are compared in the type of `x`, as they came."""
        self.check(params, state, x)
        return exact(self._is_unmasked(np.asarray(x))[..., 0])

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return self._is_unmasked(jnp.asarray(x))[..., 0]


@dataclass(frozen=True)
class NonzeroMask(Layer):
    """The mask of a sequence of numbers (batch, length): true where it is not zero.

    What Keras's `Embedding` hands on with `mask_zero=True`. The reference gives it as 0 and 1.

    >>> NonzeroMask().apply({}, {}, jnp.array([[3, 1, 0]]))[0].tolist()
    [[True, True, False]]
    """

    allows_missing_channels = True

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        return tuple(input_shape)

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.asarray(x) != 0

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return exact(x.real != 0)
