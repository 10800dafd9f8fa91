"""Dot products between two inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import is_integer
from .base import check_sizes_known, is_tuple_of_shapes
from .merging import Merging
from .types import Array, Params, Shape

# As in Keras: vectors with a smaller norm are divided by this.
MIN_NORM = 1e-7


@dataclass(frozen=True)
class Dot(Merging):
    """Contracts one axis of each of two inputs, for each example, as Keras's `Dot`.

    `axes` is one axis, or a pair with the axis of each input; axis 0 is the batch. The output has the remaining axes of
    the first input, then of the second, or the shape (1,) if none remain. With `normalize`, both inputs are
    divided by their norm along the axis, so the output is the cosine similarity. bfloat16 and float16 accumulate in
    float32. Raises `ValueError` for the batch axis, for axes out of range, and for axes of different sizes.

    >>> Dot(1).apply({}, {}, (jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]])))[0].tolist()
    [[11.0]]
    >>> Dot((1, 2)).output_shape(((3, 5), (10, 3)))
    (5, 10)
    """

    axes: int | tuple[int, int]
    normalize: bool = False

    _receptive_field = None

    def __post_init__(self) -> None:
        if isinstance(self.axes, list):
            object.__setattr__(self, "axes", tuple(self.axes))
        pair = self.axes if isinstance(self.axes, tuple) else (self.axes,) * 2
        if len(pair) != 2 or not all(is_integer(axis) and axis != 0 for axis in pair):
            raise ValueError(f"Dot: axes must be one or two integers other than 0, the batch, got {self.axes!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The remaining axes of both inputs, or `(1,)`."""
        if not is_tuple_of_shapes(input_shape) or len(input_shape) != 2:
            raise ValueError(f"Dot needs two inputs, got shapes {input_shape}")
        first, second = input_shape
        a, b = self._axis_pair(len(first) + 1, len(second) + 1)
        if not (0 < a <= len(first) and 0 < b <= len(second)):
            raise ValueError(f"Dot: axes={self.axes} are not axes of inputs of shapes {tuple(first)}, {tuple(second)}")
        sizes = first[a - 1], second[b - 1]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                f"Dot: axes={self.axes} must be of the same size, got shapes {tuple(first)}, {tuple(second)}"
            )
        return (*first[: a - 1], *first[a:], *second[: b - 1], *second[b:]) or (1,)

    def flops(self, input_shape: Any) -> int:
        """2 per multiply-add; norms are not counted."""
        first, second = input_shape
        check_sizes_known(self, first)
        check_sizes_known(self, second)
        a, _ = self._axis_pair(len(first) + 1, len(second) + 1)
        return 2 * math.prod(first) * math.prod(second) // first[a - 1]

    def _axis_pair(self, first: int, second: int) -> tuple[int, int]:
        a, b = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        return (a + first if a < 0 else a), (b + second if b < 0 else b)

    def _subscripts(self, first: int, second: int) -> str:
        a, b = self._axis_pair(first, second)
        left = [chr(ord("a") + i) for i in range(first)]
        right = [chr(ord("a") + first + i) for i in range(second)]
        left[a] = right[b] = "z"
        left[0] = right[0] = "y"
        rest = "".join(name for name in (*left[1:], *right[1:]) if name != "z")
        return f"{''.join(left)},{''.join(right)}->y{rest}"

    def _jax(self, params: Params, x: Any) -> jax.Array:
        arrays = [jnp.asarray(v) for v in x]
        dtype = jnp.result_type(*arrays)
        wide = jnp.promote_types(dtype, jnp.float32)
        axes = self._axis_pair(arrays[0].ndim, arrays[1].ndim)
        if self.normalize:
            arrays = [_normalize(v.astype(wide), axis) for v, axis in zip(arrays, axes, strict=True)]
        subscripts = self._subscripts(arrays[0].ndim, arrays[1].ndim)
        y = jnp.einsum(subscripts, *arrays, preferred_element_type=wide).astype(dtype)
        return y if y.ndim > 1 else y[:, None]

    def _numpy(self, params: Params, x: Any) -> Array:
        axes = self._axis_pair(x[0].ndim, x[1].ndim)
        # Deliberately not einsum, so that the reference is independent of `_jax`.
        first, second = (np.moveaxis(v, axis, -1) for v, axis in zip(x, axes, strict=True))
        if self.normalize:
            first, second = _normalize_numpy(first), _normalize_numpy(second)
        outer = first.reshape(*first.shape[:-1], *(1,) * (second.ndim - 2), first.shape[-1])
        inner = second.reshape(second.shape[0], *(1,) * (first.ndim - 2), *second.shape[1:])
        y = (outer * inner).sum(axis=-1)
        return y if y.ndim > 1 else y[:, None]


def _normalize(x: jax.Array, axis: int) -> jax.Array:
    squares = jnp.square(x).sum(axis=axis, keepdims=True)
    # The inner `where` keeps the gradient of the unselected branch finite.
    long = squares > MIN_NORM**2
    return x * jnp.where(long, jax.lax.rsqrt(jnp.where(long, squares, 1)), 1 / MIN_NORM)


def _normalize_numpy(x: Array) -> Array:
    squares = (x * x).sum(axis=-1, keepdims=True)
    return x / np.where(squares.real > MIN_NORM**2, np.sqrt(squares), MIN_NORM)
