"""Layer, RMS and unit normalization, which use the statistics of each example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..axes import Axes, as_axes, axis_positions, axis_sizes, broadcast_shape, broadcasts_to, spans_length
from ..base import Layer, count_elementwise_flops, floating_arrays
from ..ragged import sequence_sum
from ..types import Array, Arrays, ArrayShapes, Params, ReceptiveField, Shape


class PerExampleNormalization(Layer):
    """Base class of layers that normalize each example by itself and keep its shape."""

    axis: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", as_axes(self, self.axis))

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        self.param_shapes(input_shape)
        return tuple(input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Ones for `gamma` and `scale`, zeros for `beta`; `key` is not used."""
        shapes = self.param_shapes(input_shape)
        return {name: jnp.full(shape, float(name != "beta")) for name, shape in shapes.items()}, {}

    def flops(self, input_shape: Any) -> int:
        """One multiply-add per element."""
        return count_elementwise_flops(self, input_shape)

    def window(self) -> ReceptiveField | None:
        """`(1, 1)`, or None if `axis` may include the length."""
        return None if spans_length(self.axis) else self._receptive_field

    def _jax(self, params: Params, x: Any) -> jax.Array:
        arrays, dtype = floating_arrays(x, params)
        wide = {name: array.astype(jnp.promote_types(dtype, jnp.float32)) for name, array in arrays.items()}
        return self._normalize(wide, wide["x"]).astype(dtype)

    def _normalize(self, params: Arrays, x: jax.Array) -> jax.Array:
        """`_jax` for arrays of at least float32 precision."""
        raise NotImplementedError

    def _scale_and_shift(self, params: Params, y: Any) -> Any:
        """`y` times `gamma` plus `beta`, each if present."""
        axes = axis_positions(self, self.axis, y.shape[1:])
        shape = broadcast_shape([y.shape[a] for a in axes], axes, y.ndim)
        y = y * params["gamma"].reshape(shape) if "gamma" in params else y
        return y + params["beta"].reshape(shape) if "beta" in params else y


@dataclass(frozen=True)
class LayerNormalization(PerExampleNormalization):
    """Layer normalization, as Keras's `LayerNormalization` (Ba et al., 2016, arXiv:1607.06450).

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, with mean and biased variance over `axis`, one axis or
    several; axis 0 is the batch. Params: `gamma` (with `scale`) and `beta` (with `center`), with the sizes of `axis`.
    The axis numbers are sorted as written, as in Keras: for `[1, -1]` the shape of `gamma` starts with the last axis.

    With `rms_scaling`, as in older versions of Keras 3, `y = gamma * x / sqrt(variance + epsilon)`. This divides by the
    standard deviation, not by the root mean square. There is always a `gamma` and never a `beta`. bfloat16 and float16
    are computed in float32.

    Raises `ValueError` for the batch axis, axes out of range, repeated axes, and an unknown size along an axis.

    >>> y, _ = LayerNormalization(center=False, scale=False).apply({}, {}, jnp.array([[1.0, 3.0]]))
    >>> [f"{value:.4f}" for value in y[0]]
    ['-0.9995', '0.9995']
    """

    axis: Axes = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    rms_scaling: bool = False

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`gamma` with `scale` or `rms_scaling`; `beta` with `center`, but not with `rms_scaling`."""
        sizes = axis_sizes(self, _sorted_axes(self.axis), input_shape)
        present = {"gamma": self.scale or self.rms_scaling, "beta": self.center and not self.rms_scaling}
        return {name: sizes for name, there in present.items() if there}

    def _normalize(self, params: Arrays, x: jax.Array) -> jax.Array:
        axes = axis_positions(self, self.axis, x.shape[1:])
        centered = x - x.mean(axes, keepdims=True)
        factor = jax.lax.rsqrt(jnp.square(centered).mean(axes, keepdims=True) + self.epsilon)
        return self._scale_and_shift(params, (x if self.rms_scaling else centered) * factor)

    def _numpy(self, params: Params, x: Any) -> Array:
        axes = axis_positions(self, self.axis, x.shape[1:])
        centered = x - x.mean(axis=axes, keepdims=True)
        deviation = np.sqrt((centered**2).mean(axis=axes, keepdims=True) + self.epsilon)
        return self._scale_and_shift(params, (x if self.rms_scaling else centered) / deviation)


@dataclass(frozen=True)
class RMSNormalization(PerExampleNormalization):
    """RMS normalization, as Keras's `RMSNormalization` (Zhang and Sennrich, 2019, arXiv:1910.07467).

    `y = scale * x / sqrt(mean(x ** 2) + epsilon)`, with the mean over `axis`; axis 0 is the batch. The param `scale`
    has the sizes of `axis`, sorted as written. As in Keras, it broadcasts to the last axes of the input, also for
    another `axis`. bfloat16 and float16 are computed in float32.

    Raises `ValueError` for the batch axis, axes out of range, repeated axes, an unknown size along an axis, and a
    `scale` that does not broadcast to the last axes.

    >>> y, _ = RMSNormalization(epsilon=0).apply({"scale": jnp.ones(2)}, {}, jnp.array([[1.0, 7.0]]))
    >>> [f"{value:.4f}" for value in y[0]]
    ['0.2000', '1.4000']
    """

    axis: Axes = -1
    epsilon: float = 1e-6

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`scale`."""
        sizes = axis_sizes(self, _sorted_axes(self.axis), input_shape)
        if not broadcasts_to(sizes, input_shape):
            raise ValueError(
                f"RMSNormalization: the scale along axis={self.axis}, of shape {sizes}, does not broadcast to the last "
                f"axes of an input of shape {tuple(input_shape)}"
            )
        return {"scale": sizes}

    def _normalize(self, params: Arrays, x: jax.Array) -> jax.Array:
        axes = axis_positions(self, self.axis, x.shape[1:])
        factor = jax.lax.rsqrt(jnp.square(x).mean(axes, keepdims=True) + self.epsilon)
        return x * factor * params["scale"]

    def _numpy(self, params: Params, x: Any) -> Array:
        axes = axis_positions(self, self.axis, x.shape[1:])
        return x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + self.epsilon) * params["scale"]


@dataclass(frozen=True)
class UnitNormalization(PerExampleNormalization):
    """Divides `x` by its Euclidean norm over `axis`, as Keras's `UnitNormalization`. Axis 0 is the batch.

    Norms below 1e-12 are replaced by 1e-12, so zeros stay zero. There the derivative is 1e12; in Keras it is NaN.
    bfloat16 and float16 are computed in float32.

    Raises `ValueError` for the batch axis, axes out of range and repeated axes.

    >>> [f"{value:.4f}" for value in UnitNormalization().apply({}, {}, jnp.array([[3.0, 4.0]]))[0][0]]
    ['0.6000', '0.8000']
    """

    axis: Axes = -1

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """Empty."""
        axis_positions(self, self.axis, input_shape)
        return {}

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any] | None:
        if 1 not in axis_positions(self, self.axis, x.shape[1:]):
            return None
        x = sequences.replace_padding(jnp.asarray(x))
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        axes = tuple(axis for axis in axis_positions(self, self.axis, x.shape[1:]) if axis != 1)
        squares = sequence_sum(jnp.square(wide).sum(axes, keepdims=True), sequences)
        return sequences.replace_padding(self._divide_by_norm(wide, squares).astype(x.dtype)), sequences

    def _normalize(self, params: Arrays, x: jax.Array) -> jax.Array:
        return self._divide_by_norm(x, jnp.square(x).sum(axis_positions(self, self.axis, x.shape[1:]), keepdims=True))

    def _divide_by_norm(self, x: jax.Array, squares: jax.Array) -> jax.Array:
        small = squares < 1e-24
        return x * jnp.where(small, 1e12, jax.lax.rsqrt(jnp.where(small, 1, squares)))

    def _numpy(self, params: Params, x: Any) -> Array:
        squares = (x * x).sum(axis=axis_positions(self, self.axis, x.shape[1:]), keepdims=True)
        return x / np.where(squares.real < 1e-24, 1e-12, np.sqrt(squares))


def _sorted_axes(axis: Axes) -> Axes:
    return axis if isinstance(axis, int) else tuple(sorted(axis))
