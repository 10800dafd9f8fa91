"""Dropout: active in training alone, with an explicit key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..reference import exact
from .base import Array, Layer, Shape


@dataclass(frozen=True)
class Dropout(Layer):
    """Keras's `Dropout`: in training each value is zero with probability `rate`, else divided by `1 - rate`.

    Raises `ValueError` for a rate outside 0 to 1, and in training with a rate above 0 and no key.

    >>> x = jnp.ones((2, 3))
    >>> Dropout(0.5).apply({}, {}, x)[0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    >>> y, _ = Dropout(0.5).apply({}, {}, x, training=True, key=jax.random.key(0))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    rate: float

    def __post_init__(self) -> None:
        if not isinstance(self.rate, (int, float)) or not 0 <= self.rate <= 1:
            raise ValueError(f"Dropout: rate must be a number from 0 to 1, got {self.rate!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        return tuple(input_shape)

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, Any]]:
        """`(y, state)`; outside training `y` is `x`."""
        self.check(params, state, x)
        x = jnp.asarray(x)
        if not training or self.rate == 0:
            return x, dict(state)
        if key is None:
            raise ValueError(f"Dropout: training with rate={self.rate} needs a key, got None")
        kept = jax.random.bernoulli(key, 1 - self.rate, x.shape)
        # With rate 1 nothing is kept and the scale does not matter, but 1 / 0 would still poison the gradient.
        scale = 1 / (1 - self.rate) if self.rate < 1 else 0.0
        return jnp.where(kept, x * scale, 0), dict(state)

    def reference(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False
    ) -> Array:
        """`x`; raises `ValueError` in training with a rate above 0, whose mask has no NumPy form."""
        self.check(params, state, x)
        if training and self.rate > 0:
            raise ValueError(f"Dropout: the reference has no mask for training with rate={self.rate}; use rate=0")
        return exact(x)
