"""An activation as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from .. import activations, activations_numpy
from .base import Array, Layer, Shape, activated, speaking_for


@dataclass(frozen=True)
class Activation(Layer):
    """Keras's `Activation`: a name of Keras's, or a function that keeps the shape.

    A function is called with JAX arrays by `apply` and with NumPy arrays by `reference`. Raises `ValueError` for an
    unknown name.

    >>> Activation("relu").apply({}, {}, jnp.array([[-1.0, 2.0]]))[0].tolist()
    [[0.0, 2.0]]
    """

    activation: str | Callable[[Any], Any]

    def __post_init__(self) -> None:
        with speaking_for(self):
            activations.resolve(self.activation)

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape, of which `"glu"` halves the last size."""
        return activated(self, self.activation, tuple(input_shape))

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return activations.resolve(self.activation)(jnp.asarray(x))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return activations_numpy.resolve(self.activation)(x)
