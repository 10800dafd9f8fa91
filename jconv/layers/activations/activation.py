"""Activation layers without params."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...functional import activations
from ...geometry import is_integer
from ...reference import activations as activations_numpy
from ..axes import as_tuple, axis_positions, spans_length
from ..base import (
    ActivationLayer,
    check_inputs,
    check_not_negative,
    check_number,
    check_optional,
    is_tuple_of_shapes,
    shape_after_activation,
)
from ..ragged import sequence_max, sequence_sum, unsupported_lengths
from ..types import Array, Params, ReceptiveField, Shape


@dataclass(frozen=True)
class Activation(ActivationLayer):
    """Applies an activation function, as Keras's `Activation`. The shape stays; only `"glu"` halves the last axis.

    `activation` is a Keras name, such as `"relu"`, or a function that keeps the shape. `apply` calls the function with
    JAX arrays, `reference` with NumPy arrays. Raises `ValueError` for an unknown name.

    >>> Activation("relu").apply({}, {}, jnp.array([[-1.0, 2.0]]))[0].tolist()
    [[0.0, 2.0]]
    """

    activation: str | Callable[[Any], Any]

    _checks = (("activation", lambda _, value: activations.resolve(value)),)

    @property
    def allows_missing_channels(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the function has a name and is elementwise."""
        return isinstance(self.activation, str) and self.activation not in activations_numpy.ALONG_LAST

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape; `"glu"` halves the last size."""
        return shape_after_activation(self, self.activation, tuple(input_shape))

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return activations.resolve(self.activation)(jnp.asarray(x))

    def _numpy(self, params: Params, x: Any) -> Array:
        return activations_numpy.resolve(self.activation)(x)


@dataclass(frozen=True)
class ReLU(ActivationLayer):
    """Rectified linear unit, as Keras's `ReLU`.

    `min(x, max_value)` above `threshold`, `negative_slope * (x - threshold)` at or below it. With `max_value=None` the
    output has no upper limit. Raises `ValueError` for a negative option.

    >>> ReLU(6, 0.5, 1).apply({}, {}, jnp.array([-1.0, 0.5, 2.0, 9.0]))[0].tolist()
    [-1.0, -0.25, 2.0, 6.0]
    """

    allows_missing_channels = True

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    _checks = (
        ("max_value", check_optional(check_not_negative)),
        ("negative_slope", check_not_negative),
        ("threshold", check_not_negative),
    )

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        if self.negative_slope and self.max_value is None and not self.threshold:
            return jax.nn.leaky_relu(x, self.negative_slope)
        y = jnp.where(x <= self.threshold, 0, x) if self.threshold else jax.nn.relu(x)
        y = y if self.max_value is None else jnp.minimum(y, self.max_value)
        return y - self.negative_slope * jax.nn.relu(self.threshold - x) if self.negative_slope else y

    def _numpy(self, params: Params, x: Any) -> Array:
        y: Array = np.where(x.real <= self.threshold, 0, x)
        if self.max_value is not None:
            y = np.where(y.real > self.max_value, self.max_value, y)
        return y + self.negative_slope * np.where(x.real < self.threshold, x - self.threshold, 0)


@dataclass(frozen=True)
class HardSigmoid(ActivationLayer):
    """Piecewise linear sigmoid: `clip(slope * x + 0.5, 0, 1)`.

    A `slope` of 0.2 is `"hard_sigmoid"` in Keras 2. The activation name `"hard_sigmoid"` has the slope 1/6, as in
    Keras 3. Raises `ValueError` for a slope that is not a number.

    >>> HardSigmoid(0.2).apply({}, {}, jnp.array([-3.0, 0.0, 1.0, 3.0]))[0].tolist()
    [0.0, 0.5, 0.699999988079071, 1.0]
    """

    allows_missing_channels = True

    slope: float

    _checks = (("slope", check_number),)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.clip(self.slope * jnp.asarray(x) + 0.5, 0, 1)

    def _numpy(self, params: Params, x: Any) -> Array:
        y: Array = self.slope * x + 0.5
        return np.where(y.real < 0, 0, np.where(y.real > 1, 1, y))


@dataclass(frozen=True)
class LeakyReLU(ActivationLayer):
    """Leaky ReLU, as Keras's `LeakyReLU`: `x` above zero, `negative_slope * x` below.

    Keras 2 calls the slope `alpha`. As in Keras, the default slope is 0.3 here and 0.2 in `Activation("leaky_relu")`.
    Raises `ValueError` for a negative slope.

    >>> LeakyReLU(0.5).apply({}, {}, jnp.array([-2.0, 2.0]))[0].tolist()
    [-1.0, 2.0]
    """

    allows_missing_channels = True

    negative_slope: float = 0.3

    _checks = (("negative_slope", check_not_negative),)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jax.nn.leaky_relu(jnp.asarray(x), self.negative_slope)

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.where(x.real >= 0, x, self.negative_slope * x)


@dataclass(frozen=True)
class ELU(ActivationLayer):
    """Exponential linear unit, as Keras's `ELU`: `x` above zero, `alpha * (exp(x) - 1)` below.

    Raises `ValueError` for an `alpha` that is not a number.

    >>> ELU(2.0).apply({}, {}, jnp.array([-100.0, 2.0]))[0].tolist()
    [-2.0, 2.0]
    """

    allows_missing_channels = True

    alpha: float = 1.0

    _checks = (("alpha", check_number),)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jax.nn.elu(jnp.asarray(x), self.alpha)

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.where(x.real > 0, x, self.alpha * np.expm1(np.where(x.real > 0, 0, x)))


@dataclass(frozen=True)
class Softmax(ActivationLayer):
    """Softmax over one axis or over several axes together, as Keras's `Softmax`. Axis 0 is the batch.

    With `inputs=("x", "mask")` the layer also reads a mask that broadcasts to `x`. Elements whose mask is 0.5 or less
    are excluded from the softmax and their output is zero. If all elements are masked, all outputs are zero.
    Raises `ValueError` for the batch axis, for an axis that `x` does not have, and for other `inputs`.

    >>> Softmax().apply({}, {}, jnp.array([[1.0, 1.0]]))[0].tolist()
    [[0.5, 0.5]]
    >>> masked = Softmax(inputs=("x", "mask"))
    >>> masked.apply({}, {}, (jnp.array([[1.0, 1.0]]), jnp.array([[True, False]])))[0].tolist()
    [[1.0, 0.0]]
    """

    axis: int | tuple[int, ...] = -1
    inputs: tuple[str, ...] = ("x",)

    def __post_init__(self) -> None:
        if isinstance(self.axis, list):
            object.__setattr__(self, "axis", tuple(self.axis))
        if not self._axes or not all(is_integer(axis) and axis != 0 for axis in self._axes):
            raise ValueError(f"Softmax: axis must be one or more integers other than 0, the batch, got {self.axis!r}")
        check_inputs(self, ("x",), ("x", "mask"))

    def output_shape(self, input_shape: Any) -> Shape:
        """The shape of `x`."""
        shape = tuple(input_shape[0] if self.has_several_inputs else input_shape)
        if self.has_several_inputs and not (
            is_tuple_of_shapes(input_shape) and len(input_shape) == 2 and _broadcasts_to(*input_shape)
        ):
            raise ValueError(
                f"Softmax needs x and a mask with as many axes, each of the same size or 1, got shapes {input_shape}"
            )
        rank = len(shape) + 1
        if not all(0 < (axis + rank if axis < 0 else axis) < rank for axis in self._axes):
            raise ValueError(f"Softmax: axis={self.axis} is not an axis of an input of shape {shape}")
        return shape

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any] | None:
        if self.has_several_inputs or 1 not in axis_positions(self, self._axes, x.shape[1:]):
            return None
        if self._axes not in ((1,), (1 - x.ndim,)):
            raise unsupported_lengths(self, "its axes are the length and another axis")
        x = jnp.asarray(x)
        wide = sequences.replace_padding(x).astype(jnp.promote_types(x.dtype, jnp.float32))
        powers = sequences.replace_padding(jnp.exp(wide - jax.lax.stop_gradient(sequence_max(wide, sequences))))
        sums = sequence_sum(powers, sequences)
        return (powers / jnp.where(sums == 0, 1, sums)).astype(x.dtype), sequences

    def window(self) -> ReceptiveField | None:
        """`(1, 1)`, or None if the softmax is over the length."""
        return None if spans_length(self._axes) else (1, 1)

    @property
    def _axes(self) -> tuple[int, ...]:
        return as_tuple(self.axis)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x, mask = (jnp.asarray(x[0]), jnp.asarray(x[1]) > 0.5) if self.has_several_inputs else (jnp.asarray(x), True)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        # The score that Keras gives masked elements. The output of rows without any valid element is zeroed below.
        y = jax.nn.softmax(jnp.where(mask, wide, -1e9), axis=self._axes)
        return jnp.where(mask, y, 0).astype(x.dtype)

    def _numpy(self, params: Params, x: Any) -> Array:
        x, mask = (x[0], x[1].real > 0.5) if self.has_several_inputs else (x, True)
        return np.where(mask, softmax_numpy(np.where(mask, x, -1e9), self._axes), 0)


def softmax_numpy(scores: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """The softmax, stabilized by subtracting the largest real part.

    >>> softmax_numpy(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(scores - scores.real.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _broadcasts_to(shape: Any, mask: Any) -> bool:
    return len(mask) == len(shape) and all(b in (a, 1, None) or a is None for a, b in zip(shape, mask, strict=True))
