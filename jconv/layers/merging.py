"""Layers that read several inputs and return one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Array, Layer, Shape


class _Merging(Layer):
    @property
    def merges(self) -> bool:
        """True."""
        return True

    def _same_rank(self, input_shape: Any) -> None:
        """Raise `ValueError` unless there is at least one shape and all have the same number of axes."""
        kind = type(self).__name__
        if not input_shape or not all(isinstance(shape, (tuple, list)) for shape in input_shape):
            raise ValueError(f"{kind} needs a tuple of shapes, one for each input, got {input_shape}")
        if len({len(shape) for shape in input_shape}) > 1:
            raise ValueError(f"{kind} needs inputs with the same number of axes, got shapes {_joined(input_shape)}")


@dataclass(frozen=True)
class Add(_Merging):
    """Keras's `Add`: the sum of its inputs, where an axis of size 1 goes with any other.

    >>> Add().apply({}, {}, (jnp.ones((1, 2)), jnp.ones((1, 2))))[0].tolist()
    [[2.0, 2.0]]
    """

    def output_shape(self, input_shape: Any) -> Shape:
        """The shape that the inputs broadcast to."""
        self._same_rank(input_shape)
        out = []
        for sizes in zip(*input_shape, strict=True):
            wide = {size for size in sizes if size != 1}
            # An unknown size may turn out to be the known one.
            known = wide - {None} or wide
            if len(known) > 1:
                raise ValueError(f"Add needs inputs of the same shape, or size 1, got shapes {_joined(input_shape)}")
            out.append(known.pop() if known else 1)
        return tuple(out)

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return reduce(add, (jnp.asarray(a) for a in x))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return reduce(add, x)


@dataclass(frozen=True)
class Concatenate(_Merging):
    """Keras's `Concatenate`: its inputs side by side along `axis`, which counts the batch axis as 0, as in Keras.

    Raises `ValueError` for the batch axis.

    >>> Concatenate().output_shape(((10, 3), (10, 4)))
    (10, 7)
    """

    axis: int = -1

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ValueError(f"Concatenate: axis must be an integer other than 0, the batch, got {self.axis!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The shapes' common sizes, and their sum along `axis`."""
        self._same_rank(input_shape)
        rank = len(input_shape[0]) + 1
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 < axis < rank:
            raise ValueError(f"Concatenate: axis={self.axis} is no axis of inputs of shapes {_joined(input_shape)}")
        out = []
        for i, sizes in enumerate(zip(*input_shape, strict=True), start=1):
            known = {size for size in sizes if size is not None}
            if i == axis:
                out.append(sum(sizes) if None not in sizes else None)
            elif len(known) > 1:
                raise ValueError(
                    f"Concatenate needs inputs of the same shape beside axis={self.axis}, "
                    f"got shapes {_joined(input_shape)}"
                )
            else:
                out.append(known.pop() if known else None)
        return tuple(out)

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.concatenate([jnp.asarray(a) for a in x], axis=self.axis)

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return np.concatenate(x, axis=self.axis)


def _joined(shapes: Any) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)
