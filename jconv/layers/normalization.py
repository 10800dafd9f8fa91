"""Batch normalization, with its moving averages as explicit state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..reference import exact
from .base import Array, Arrays, Layer, Shape, known_sizes


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """Keras's `BatchNormalization` over the last axis.

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, with the moving averages of the state outside
    training and the statistics of the batch, over every axis but the last, in it. Training returns the state
    `moving * momentum + batch * (1 - momentum)`, whose variance is the biased one, as in Keras. bfloat16 and float16
    are computed in float32. Params `gamma` (unless `scale=False`) and `beta` (unless `center=False`); state
    `moving_mean` and `moving_variance`.

    Raises `ValueError` for an axis other than -1.

    >>> layer = BatchNormalization()
    >>> params, state = layer.init(jax.random.key(0), (None, 3))
    >>> y, state = layer.apply(params, state, jnp.ones((2, 5, 3)), training=True)
    >>> [f"{mean:.2f}" for mean in state["moving_mean"]]
    ['0.01', '0.01', '0.01']
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        if self.axis != -1:
            raise ValueError(f"BatchNormalization: axis must be -1, the channels, got {self.axis!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape, whose last size must be known."""
        if not input_shape or input_shape[-1] is None:
            raise ValueError(f"BatchNormalization needs an input whose last size is known, got shape {input_shape}")
        return tuple(input_shape)

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """`gamma` and `beta`, where the layer has them."""
        present = {"gamma": self.scale, "beta": self.center}
        return {name: (input_shape[-1],) for name, there in present.items() if there}

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """`moving_mean` and `moving_variance`."""
        return {name: (input_shape[-1],) for name in ("moving_mean", "moving_variance")}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Ones for `gamma` and `moving_variance`, zeros for `beta` and `moving_mean`; `key` is not used."""
        self.output_shape(input_shape)
        filled = {"gamma": jnp.ones, "beta": jnp.zeros, "moving_mean": jnp.zeros, "moving_variance": jnp.ones}
        params = {name: filled[name](shape) for name, shape in self.param_shapes(input_shape).items()}
        return params, {name: filled[name](shape) for name, shape in self.state_shapes(input_shape).items()}

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, Any]]:
        """`(y, state)`; in training the new state holds the updated moving averages."""
        self.check(params, state, x)
        x = jnp.asarray(x)
        dtype = jnp.result_type(x, *params.values())
        wide = jnp.promote_types(dtype, jnp.float32)
        x = x.astype(wide)
        new_state = dict(state)
        if training:
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axes)
            variance = jnp.square(x - mean).mean(axes)
            for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
                moving = jnp.asarray(state[name])
                new_state[name] = (moving * self.momentum + batch * (1 - self.momentum)).astype(moving.dtype)
        else:
            mean = jnp.asarray(state["moving_mean"]).astype(wide)
            variance = jnp.asarray(state["moving_variance"]).astype(wide)
        factor = jax.lax.rsqrt(variance + self.epsilon)
        y = (x - mean) * (factor * jnp.asarray(params["gamma"]).astype(wide) if self.scale else factor)
        y = y + jnp.asarray(params["beta"]).astype(wide) if self.center else y
        return y.astype(dtype), new_state

    def reference(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False
    ) -> Array:
        """The same in NumPy; with `training=True` by the statistics of the batch."""
        self.check(params, state, x)
        x = exact(x)
        if training:
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axis=axes)
            # A plain square: np.var takes the modulus of complex numbers, which is no derivative.
            variance = ((x - mean) ** 2).mean(axis=axes)
        else:
            mean, variance = exact(state["moving_mean"]), exact(state["moving_variance"])
        y = (x - mean) / np.sqrt(variance + self.epsilon)
        y = y * exact(params["gamma"]) if self.scale else y
        return y + exact(params["beta"]) if self.center else y

    def flops(self, input_shape: Any) -> int:
        """One multiply-add an element, as outside training."""
        known_sizes(self, input_shape)
        return 2 * math.prod(input_shape)
