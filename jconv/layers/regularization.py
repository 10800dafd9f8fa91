"""Layers that act only in training, such as dropout and noise. Outside training they are the identity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ..geometry import is_integer
from ..reference.activations import SELU_ALPHA, SELU_SCALE
from ..reference.convolution import exact
from .base import Layer, check_number, check_rate, sequence_shape
from .types import Array, Key, OutputAndState, Params, Shape, State

NoiseShape = tuple[int | None, ...] | None


class _RandomLayer(Layer):
    """Base class of layers with random numbers; a subclass implements `_draw`."""

    allows_missing_channels = True

    # The option that has no effect if it is 0, and the kind of random numbers in error messages.
    rate_field: ClassVar[str] = "rate"
    noise_kind: ClassVar[str] = "mask"

    _checks = (("rate", check_rate),)

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`(y, state)`; `y` is `x` outside training. Raises `ValueError` in training without a key."""
        self.check(params, state, x)
        x, rate = jnp.asarray(x), getattr(self, self.rate_field)
        if not training or rate == 0:
            return x, dict(state)
        if key is None:
            raise ValueError(f"{type(self).__name__}: training with {self.rate_field}={rate} needs a key, got None")
        return self._draw(x, key), dict(state)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Array:
        """`x`; raises `ValueError` in training with a rate above 0, which the reference does not compute."""
        self.check(params, state, x)
        rate = getattr(self, self.rate_field)
        if training and rate > 0:
            raise ValueError(
                f"{type(self).__name__}: the reference has no {self.noise_kind} for training with "
                f"{self.rate_field}={rate}; use {self.rate_field}=0"
            )
        return exact(x)

    def _draw(self, x: jax.Array, key: jax.Array) -> jax.Array:
        raise NotImplementedError


class _RandomLayerWithNoiseShape(_RandomLayer):
    """Base class of layers with a `noise_shape`."""

    noise_shape: NoiseShape

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = self.noise_shape
        if shape is None:
            return
        if not isinstance(shape, (tuple, list)) or not all(s is None or (is_integer(s) and s > 0) for s in shape):
            raise ValueError(
                f"{type(self).__name__}: noise_shape must be None or a tuple of None and integers of at least 1, "
                f"got {shape!r}"
            )
        object.__setattr__(self, "noise_shape", tuple(shape))

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape, to which the `noise_shape` must broadcast."""
        self._broadcast_noise_shape((None, *input_shape))
        return tuple(input_shape)

    def _broadcast_noise_shape(self, shape: Any) -> Any:
        """The shape of the random numbers for an `x` of `shape`, which includes the batch."""
        if self.noise_shape is None:
            return shape
        broadcasts = len(self.noise_shape) == len(shape) and all(
            noise in (None, 1, size) or size is None for noise, size in zip(self.noise_shape, shape, strict=True)
        )
        if not broadcasts:
            raise ValueError(
                f"{type(self).__name__}: noise_shape={self.noise_shape}, the batch first, does not broadcast to "
                f"x of shape {shape}"
            )
        return tuple(size if noise is None else noise for noise, size in zip(self.noise_shape, shape, strict=True))


@dataclass(frozen=True)
class Dropout(_RandomLayerWithNoiseShape):
    """Dropout, as Keras's `Dropout`: in training each value is 0 with probability `rate`, else divided by `1 - rate`.

    `noise_shape` is the shape of the random mask, with the batch first: along an axis of size 1 all values share one
    decision, and None stands for the size of `x`. Raises `ValueError` for a rate outside 0 to 1, for a `noise_shape`
    that does not broadcast to `x`, and in training with a rate above 0 and without a key.

    >>> x = jnp.ones((2, 3))
    >>> Dropout(0.5).apply({}, {}, x)[0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    >>> y, _ = Dropout(0.5).apply({}, {}, x, training=True, key=jax.random.key(0))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    rate: float
    noise_shape: NoiseShape = None

    def _draw(self, x: jax.Array, key: jax.Array) -> jax.Array:
        kept = jax.random.bernoulli(key, 1 - self.rate, self._broadcast_noise_shape(x.shape))
        # With rate 1 nothing is kept, but a scale of 1 / 0 would make the gradient NaN.
        scale = 1 / (1 - self.rate) if self.rate < 1 else 0.0
        return jnp.where(kept, x * scale, 0)


@dataclass(frozen=True)
class SpatialDropout1D(_RandomLayer):
    """Drops complete channels of (batch, length, channels), as Keras's `SpatialDropout1D`.

    In training each channel of each example is 0 with probability `rate`, else divided by `1 - rate`. Raises
    `ValueError` as `Dropout`.

    >>> x = jnp.ones((1, 2, 4))
    >>> y, _ = SpatialDropout1D(0.5).apply({}, {}, x, training=True, key=jax.random.key(0))
    >>> bool((y[:, 0] == y[:, 1]).all())
    True
    """

    rate: float

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        return tuple(sequence_shape(self, input_shape))

    def _draw(self, x: jax.Array, key: jax.Array) -> jax.Array:
        return Dropout(self.rate, (None, 1, None))._draw(x, key)


@dataclass(frozen=True)
class GaussianDropout(_RandomLayer):
    """Multiplicative Gaussian noise in training, as Keras's `GaussianDropout`: mean 1, variance `rate / (1 - rate)`.

    Raises `ValueError` for a rate outside 0 to 1, and in training with a rate above 0 and no key, or with a rate of 1,
    for which the variance is infinite.

    >>> GaussianDropout(0.5).apply({}, {}, jnp.ones(2))[0].tolist()
    [1.0, 1.0]
    """

    noise_kind = "noise"

    rate: float

    def _draw(self, x: jax.Array, key: jax.Array) -> jax.Array:
        _check_below_one(self, self.rate)
        deviation = math.sqrt(self.rate / (1 - self.rate))
        return x * (1 + deviation * jax.random.normal(key, x.shape, x.dtype))


@dataclass(frozen=True)
class GaussianNoise(_RandomLayer):
    """Additive Gaussian noise in training, as Keras's `GaussianNoise`: mean 0, standard deviation `stddev`.

    Raises `ValueError` for a `stddev` outside 0 to 1, the range that Keras allows, and in training with a `stddev`
    above 0 and no key.

    >>> GaussianNoise(0.5).apply({}, {}, jnp.ones(2))[0].tolist()
    [1.0, 1.0]
    """

    rate_field = "stddev"
    noise_kind = "noise"

    stddev: float

    _checks = (("stddev", check_rate),)

    def _draw(self, x: jax.Array, key: jax.Array) -> jax.Array:
        return x + self.stddev * jax.random.normal(key, x.shape, x.dtype)


@dataclass(frozen=True)
class AlphaDropout(_RandomLayerWithNoiseShape):
    """Alpha dropout, as Keras's `AlphaDropout`: it keeps mean 0 and variance 1 after `"selu"`.

    In training each value is replaced with probability `rate` by the lower limit of selu; then all values are scaled
    and shifted so that mean and variance stay (Klambauer et al., Self-Normalizing Neural Networks, 2017).
    `noise_shape` is as in `Dropout`. Raises `ValueError` for a rate outside 0 to 1, for a `noise_shape` that does not
    broadcast to `x`, and in training with a rate above 0 and no key, or with a rate of 1, for which the scale is
    infinite.

    >>> AlphaDropout(0.5).apply({}, {}, jnp.ones(2))[0].tolist()
    [1.0, 1.0]
    """

    rate: float
    noise_shape: NoiseShape = None

    def _draw(self, x: jax.Array, key: jax.Array) -> jax.Array:
        _check_below_one(self, self.rate)
        least = -SELU_ALPHA * SELU_SCALE
        kept = jax.random.bernoulli(key, 1 - self.rate, self._broadcast_noise_shape(x.shape))
        scale = ((1 - self.rate) * (1 + self.rate * least**2)) ** -0.5
        return scale * jnp.where(kept, x, least) - scale * least * self.rate


def _check_below_one(layer: Layer, rate: float) -> None:
    if rate == 1:
        raise ValueError(f"{type(layer).__name__}: rate must be below 1 in training, got {rate}")


@dataclass(frozen=True)
class ActivityRegularization(Layer):
    """The identity, with the penalties of Keras's `ActivityRegularization` as options.

    Keras adds `l1 * sum(abs(x)) + l2 * sum(x ** 2)` to the loss. Layers of jconv have no loss, so the caller adds this.
    Raises `ValueError` if `l1` or `l2` is not a number.

    >>> ActivityRegularization(l2=0.1).apply({}, {}, jnp.ones(2))[0].tolist()
    [1.0, 1.0]
    """

    allows_missing_channels = True

    l1: float = 0.0
    l2: float = 0.0

    _checks = (("l1", check_number), ("l2", check_number))

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.asarray(x)

    def _numpy(self, params: Params, x: Any) -> Array:
        return x
