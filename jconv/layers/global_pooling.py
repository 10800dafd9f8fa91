"""Global pooling: one value a channel for the whole length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Array, Layer, Shape, Window, sequence_shape


class _GlobalPooling(Layer):
    keepdims: bool

    def output_shape(self, input_shape: Any) -> Shape:
        """`(channels,)`, or `(1, channels)` with `keepdims`."""
        _, channels = sequence_shape(self, input_shape)
        return (1, channels) if self.keepdims else (channels,)

    def window(self) -> Window | None:
        """None: every sample is seen."""
        return None


@dataclass(frozen=True)
class GlobalAveragePooling1D(_GlobalPooling):
    """Keras's `GlobalAveragePooling1D`: the mean over the length.

    >>> GlobalAveragePooling1D().apply({}, {}, jnp.array([[[1.0], [3.0]]]))[0].tolist()
    [[2.0]]
    """

    keepdims: bool = False

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.mean(jnp.asarray(x), axis=-2, keepdims=self.keepdims)

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x.mean(axis=-2, keepdims=self.keepdims)


@dataclass(frozen=True)
class GlobalMaxPooling1D(_GlobalPooling):
    """Keras's `GlobalMaxPooling1D`: the greatest value over the length. Ties share the gradient equally.

    >>> GlobalMaxPooling1D().apply({}, {}, jnp.array([[[1.0], [3.0]]]))[0].tolist()
    [[3.0]]
    """

    keepdims: bool = False

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.max(jnp.asarray(x), axis=-2, keepdims=self.keepdims)

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        y = np.take_along_axis(x, x.real.argmax(axis=-2, keepdims=True), axis=-2)
        return y if self.keepdims else y[..., 0, :]
