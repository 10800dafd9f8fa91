"""Layers that compute masks. A mask is an ordinary array of the graph: booleans of shape (batch, length)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..reference.convolution import exact
from .base import Layer, check_number
from .types import Array, Params, Shape, State


class _MaskValueLayer(Layer):
    mask_value: float

    _checks = (("mask_value", check_number),)

    def _check_shape(self, input_shape: Any) -> Shape:
        if not input_shape:
            raise ValueError(f"{type(self).__name__} needs an input with features after the batch, got shape ()")
        return tuple(input_shape)

    def _is_unmasked(self, x: Any) -> Any:
        """Booleans (..., 1): whether any feature differs from `mask_value`."""
        real = x.real if np.iscomplexobj(x) else x
        # Compare in the dtype of x, because 0.1 differs between float32 and float64. An integer equals no 0.1.
        is_floating = jnp.issubdtype(real.dtype, jnp.floating)
        value = np.asarray(self.mask_value, real.dtype) if is_floating else self.mask_value
        return (real != value).any(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Masking(_MaskValueLayer):
    """Sets all features of a step to zero if they all equal `mask_value`, as Keras's `Masking`.

    Keras also attaches the mask to the output. Here the mask is another node of the graph: `MaskOf(mask_value)` of the
    same `x`. Raises `ValueError` if `mask_value` is not a number.

    >>> Masking(2.0).apply({}, {}, jnp.array([[[2.0, 1.0], [2.0, 2.0]]]))[0].tolist()
    [[[2.0, 1.0], [0.0, 0.0]]]
    """

    mask_value: float = 0.0

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        return self._check_shape(input_shape)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Array:
        """`apply` in NumPy; `mask_value` is compared in the dtype of `x`."""
        self.check(params, state, x)
        return np.where(self._is_unmasked(np.asarray(x)), exact(x), 0)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return jnp.where(self._is_unmasked(x), x, 0)


@dataclass(frozen=True)
class MaskOf(_MaskValueLayer):
    """The mask of a sequence (..., features): true where any feature differs from `mask_value`.

    Keras's `Masking` attaches this mask to its output. `reference` returns 0 and 1. Raises `ValueError` if
    `mask_value` is not a number.

    >>> MaskOf(2.0).apply({}, {}, jnp.array([[[2.0, 1.0], [2.0, 2.0]]]))[0].tolist()
    [[True, False]]
    """

    mask_value: float = 0.0

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape without the features."""
        return self._check_shape(input_shape)[:-1]

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Array:
        """`apply` in NumPy, as 0 and 1; `mask_value` is compared in the dtype of `x`."""
        self.check(params, state, x)
        return exact(self._is_unmasked(np.asarray(x))[..., 0])

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return self._is_unmasked(jnp.asarray(x))[..., 0]


@dataclass(frozen=True)
class NonzeroMask(Layer):
    """The mask of a sequence of integers (batch, length): true where the value is not zero.

    Keras's `Embedding` attaches this mask to its output with `mask_zero=True`. `reference` returns 0 and 1.

    >>> NonzeroMask().apply({}, {}, jnp.array([[3, 1, 0]]))[0].tolist()
    [[True, True, False]]
    """

    allows_missing_channels = True

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.asarray(x) != 0

    def _numpy(self, params: Params, x: Any) -> Array:
        return exact(x.real != 0)
