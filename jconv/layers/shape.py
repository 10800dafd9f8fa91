"""Layers that change the shape and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from .. import reference
from ..geometry import is_integer
from .base import Array, Layer, Shape, Window, sequence_shape


@dataclass(frozen=True)
class ZeroPadding1D(Layer):
    """Keras's `ZeroPadding1D`: zeros before and after; `padding` is a number for both ends, or `(low, high)`.

    Raises `ValueError` for anything else.

    >>> ZeroPadding1D((1, 2)).output_shape((10, 3))
    (13, 3)
    """

    padding: int | tuple[int, int] = 1

    def __post_init__(self) -> None:
        if isinstance(self.padding, list):
            object.__setattr__(self, "padding", tuple(self.padding))
        ends = self.padding if isinstance(self.padding, tuple) else (self.padding,) * 2
        if len(ends) != 2 or not all(is_integer(end) and end >= 0 for end in ends):
            raise ValueError(
                f"ZeroPadding1D: padding must be an int or (low, high), not negative, got {self.padding!r}"
            )

    @property
    def ends(self) -> tuple[int, int]:
        """`(low, high)`."""
        return self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(length + low + high, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        return None if length is None else length + sum(self.ends), channels

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.pad(jnp.asarray(x), ((0, 0), self.ends, (0, 0)))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return reference.pad(x, *self.ends)


@dataclass(frozen=True)
class Flatten(Layer):
    """Keras's `Flatten`: every axis but the batch in one.

    >>> Flatten().output_shape((10, 3))
    (30,)
    """

    def output_shape(self, input_shape: Any) -> Shape:
        """The product of the sizes, unknown if one is."""
        return (None if None in input_shape else math.prod(input_shape),)

    def window(self) -> Window | None:
        """None: a dense layer that follows sees every sample."""
        return None

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))
