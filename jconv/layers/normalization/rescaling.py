"""Preprocessing layers: rescaling, and normalization with given statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...reference.convolution import exact
from ..axes import as_axes, axis_positions, axis_sizes, broadcast_shape, broadcasts_to
from ..base import Layer, count_elementwise_flops
from ..types import Array, Arrays, ArrayShapes, Params, Shape

# As in Keras: smaller standard deviations are replaced by this.
MIN_DEVIATION = 1e-7
NestedFloats = float | tuple[Any, ...]


@dataclass(frozen=True)
class Rescaling(Layer):
    """Computes `x * scale + offset`, as Keras's `Rescaling`.

    `scale` and `offset` are numbers, or nested tuples of numbers that broadcast to the input's last axes. Integer
    inputs are computed in float32. Raises `ValueError` for other values and for tuples that do not broadcast.

    >>> Rescaling(0.5, offset=(0.0, 1.0)).apply({}, {}, jnp.array([[2, 4]]))[0].tolist()
    [[1.0, 3.0]]
    """

    allows_missing_channels = True

    scale: NestedFloats
    offset: NestedFloats = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, nested_tuples(self, name, getattr(self, name)))

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        for name in ("scale", "offset"):
            shape = np.shape(getattr(self, name))
            if not broadcasts_to(shape, input_shape):
                raise ValueError(
                    f"Rescaling: {name} of shape {shape} does not broadcast to the last axes of an input of shape "
                    f"{tuple(input_shape)}"
                )
        return tuple(input_shape)

    def flops(self, input_shape: Any) -> int:
        """One multiply-add per element."""
        return count_elementwise_flops(self, input_shape)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x, wide = _as_floating(x)
        y = x.astype(wide) * jnp.asarray(self.scale, wide) + jnp.asarray(self.offset, wide)
        return y.astype(x.dtype)

    def _numpy(self, params: Params, x: Any) -> Array:
        return x * np.asarray(self.scale) + np.asarray(self.offset)


@dataclass(frozen=True)
class Normalization(Layer):
    """Normalizes with given statistics, as Keras's `Normalization`: `(x - mean) / max(sqrt(variance), 1e-7)`.

    With `invert` it computes the inverse. There is one mean and variance per index of `axis`. `axis` is an integer, a
    tuple of integers, or `()` for a single mean and variance; axis 0 is the batch. `mean` and `variance` are numbers or
    nested tuples that broadcast to these axes. If both are None, the layer has the state `mean` and `variance` (0 and 1
    at first), with the sizes of `axis` in ascending order, and `count`, which Keras keeps for old files. bfloat16,
    float16 and integers are computed in float32.

    Raises `ValueError` for the batch axis, axes out of range, repeated axes, an unknown size along an axis, and if only
    one of `mean` and `variance` is given or their shapes differ.

    >>> Normalization(mean=3.0, variance=4.0).apply({}, {}, jnp.array([[1.0, 7.0]]))[0].tolist()
    [[-1.0, 2.0]]
    """

    allows_missing_channels = True

    axis: int | tuple[int, ...] = -1
    mean: NestedFloats | None = None
    variance: NestedFloats | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        axis = () if self.axis is None or self.axis in ((), []) else as_axes(self, self.axis)
        object.__setattr__(self, "axis", axis)
        if (self.mean is None) != (self.variance is None):
            raise ValueError(
                f"Normalization: mean and variance must both be given or both be None, got mean={self.mean} and "
                f"variance={self.variance}"
            )
        if self.mean is None:
            return
        for name in ("mean", "variance"):
            object.__setattr__(self, name, nested_tuples(self, name, getattr(self, name)))
        mean, variance = (np.asarray(getattr(self, name)).shape for name in ("mean", "variance"))
        if mean != variance:
            raise ValueError(f"Normalization: mean and variance must have the same shape, got {mean} and {variance}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        sizes = self._sizes(input_shape)
        shape = np.asarray(self.mean).shape
        if not broadcasts_to(shape, sizes):
            raise ValueError(
                f"Normalization: mean of shape {shape} does not broadcast to the sizes {sizes} of axis={self.axis}"
            )
        return tuple(input_shape)

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """`mean`, `variance` and `count`, if they are not options."""
        sizes = self._sizes(input_shape)
        return {"mean": sizes, "variance": sizes, "count": ()} if self.mean is None else {}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Zeros for `mean`, ones for `variance`, the integer 0 for `count`; `key` is not used."""
        self.output_shape(input_shape)
        filled = {"mean": jnp.zeros, "variance": jnp.ones, "count": lambda shape: jnp.zeros(shape, jnp.int32)}
        return {}, {name: filled[name](shape) for name, shape in self.state_shapes(input_shape).items()}

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x, wide = _as_floating(x)
        mean, variance = (self._broadcast(jnp.asarray(a, wide), x) for a in self._statistics(params))
        deviation = jnp.maximum(jnp.sqrt(variance), MIN_DEVIATION)
        y = x.astype(wide) * deviation + mean if self.invert else (x.astype(wide) - mean) / deviation
        return y.astype(x.dtype)

    def _numpy(self, params: Params, x: Any) -> Array:
        mean, variance = (self._broadcast(exact(a), x) for a in self._statistics(params))
        deviation = np.sqrt(variance)
        deviation = np.where(deviation.real < MIN_DEVIATION, MIN_DEVIATION, deviation)
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def flops(self, input_shape: Any) -> int:
        """One multiply-add per element."""
        return count_elementwise_flops(self, input_shape)

    def _axes(self, input_shape: Any) -> tuple[int, ...]:
        return tuple(sorted(axis_positions(self, self.axis, input_shape))) if self.axis != () else ()

    def _sizes(self, input_shape: Any) -> tuple[int, ...]:
        axes = self._axes(input_shape)
        return axis_sizes(self, axes, input_shape) if axes else ()

    def _statistics(self, params: Params) -> tuple[Any, Any]:
        return (params["mean"], params["variance"]) if self.mean is None else (self.mean, self.variance)

    def _broadcast(self, a: Any, x: Any) -> Any:
        """`a`, a mean or variance, reshaped to broadcast to `x`."""
        axes = self._axes(x.shape[1:])
        return a.reshape(broadcast_shape(a.shape, axes[len(axes) - a.ndim :], x.ndim))


def nested_tuples(layer: Layer, name: str, value: Any) -> NestedFloats:
    """`value` as a float or nested tuples of floats; raises `ValueError` for anything else."""
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError):
        array = None
    if array is None or isinstance(value, (bool, str)):
        raise ValueError(f"{type(layer).__name__}: {name} must be a number or nested lists of numbers, got {value!r}")
    return _tuples(array.tolist())


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _as_floating(x: Any) -> tuple[jax.Array, Any]:
    """`x`, in float32 if it has an integer dtype, and the dtype of the computation."""
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
    return x, jnp.promote_types(x.dtype, jnp.float32)
