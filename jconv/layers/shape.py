"""Layers that only change the shape; and `Pick`, which selects one of several outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import check_positive, is_integer
from .base import Layer, is_tuple_of_shapes
from .types import Array, Key, OutputAndSequences, Params, ReceptiveField, Shape, State


@dataclass(frozen=True)
class Flatten(Layer):
    """Flattens each example to one axis, as Keras's `Flatten`.

    >>> Flatten().output_shape((10, 3))
    (30,)
    """

    _receptive_field = None

    def output_shape(self, input_shape: Any) -> Shape:
        """`(size,)`, the product of all sizes; None if one size is unknown."""
        return (None if None in input_shape else math.prod(input_shape),)

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any] | None:
        # If each sequence has one sample left, its features are already flat.
        return (sequences.replace_padding(jnp.asarray(x)), sequences) if sequences.one_sample else None

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def _numpy(self, params: Params, x: Any) -> Array:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@dataclass(frozen=True)
class RepeatVector(Layer):
    """Repeats a vector `n` times, as Keras's `RepeatVector`: (features,) to (n, features).

    Raises `ValueError` for `n` below one.

    >>> RepeatVector(3).output_shape((5,))
    (3, 5)
    """

    n: int

    _checks = (("n", check_positive),)
    # All output samples depend on the same input.
    _receptive_field = (1, 0)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(n, features)`."""
        if len(input_shape) != 1:
            raise ValueError(
                f"RepeatVector needs an input of shape (features,) after the batch axis, got {input_shape}"
            )
        return self.n, input_shape[0]

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.repeat(jnp.asarray(x)[:, None], self.n, axis=1)

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.repeat(x[:, None], self.n, axis=1)


@dataclass(frozen=True)
class Permute(Layer):
    """Transposes the axes, as Keras's `Permute`: axis `i + 1` of the output is axis `dims[i]` of the input.

    Axis 0 is the batch. Raises `ValueError` unless `dims` is a permutation of 1, 2, ..., and for an input with another
    number of axes.

    >>> Permute((2, 1)).output_shape((10, 3))
    (3, 10)
    """

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        dims = self.dims
        if not isinstance(dims, (tuple, list)) or not all(map(is_integer, dims)):
            raise ValueError(f"Permute: dims must be a tuple of integers, got {dims!r}")
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(f"Permute: dims must be a permutation of 1, 2, ..., got {dims!r}")
        object.__setattr__(self, "dims", tuple(dims))

    def output_shape(self, input_shape: Any) -> Shape:
        """The sizes in the order of `dims`."""
        if len(input_shape) != len(self.dims):
            raise ValueError(f"Permute: dims={self.dims} needs an input of as many axes, got shape {input_shape}")
        return tuple(input_shape[axis - 1] for axis in self.dims)

    def window(self) -> ReceptiveField | None:
        """`(1, 1)`, or None if axis 1 moves."""
        return (1, 1) if self.dims[:1] in ((), (1,)) else None

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.transpose(jnp.asarray(x), (0, *self.dims))

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.transpose(x, (0, *self.dims))


@dataclass(frozen=True)
class Reshape(Layer):
    """Reshapes each example to `target_shape`, as Keras's `Reshape`. One size may be -1 or None, to be inferred.

    Raises `ValueError` for other sizes below one, for more than one size to infer, and for an input of another size.

    >>> Reshape((-1, 2)).output_shape((3, 4))
    (6, 2)
    """

    target_shape: tuple[int | None, ...]

    # The order of samples may change.
    _receptive_field = None

    def __post_init__(self) -> None:
        target = self.target_shape
        sizes: Any = target if isinstance(target, (tuple, list)) else ("none",)
        if not all(size in (-1, None) or (is_integer(size) and size > 0) for size in sizes):
            raise ValueError(f"Reshape: target_shape must be a tuple of sizes, -1 or None, got {target!r}")
        if sum(size in (-1, None) for size in target) > 1:
            raise ValueError(f"Reshape: target_shape must have at most one size of -1 or None, got {target!r}")
        object.__setattr__(self, "target_shape", tuple(target))

    def output_shape(self, input_shape: Any) -> Shape:
        """`target_shape`, with the size to infer filled in if all input sizes are known."""
        known = math.prod(size for size in self.target_shape if size not in (-1, None))
        is_open = any(size in (-1, None) for size in self.target_shape)
        if None in input_shape:
            return tuple(None if size == -1 else size for size in self.target_shape)
        size = math.prod(input_shape)
        if size % known if is_open else size != known:
            raise ValueError(f"Reshape: target_shape={self.target_shape} is of another size than shape {input_shape}")
        return tuple(size // known if s in (-1, None) else s for s in self.target_shape)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))

    def _numpy(self, params: Params, x: Any) -> Array:
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))


@dataclass(frozen=True)
class Pick(Layer):
    """Selects output `index`, counted from 0, of a layer that returns a tuple.

    `Pick` has one input node, whose value is a tuple of arrays, so `has_several_inputs` is False. Raises `ValueError`
    if `index` is not a nonnegative integer.

    >>> Pick(1).output_shape(((7, 4), (4,)))
    (4,)
    >>> Pick(1).apply({}, {}, (jnp.zeros(2), jnp.ones(2)))[0].tolist()
    [1.0, 1.0]
    """

    index: int

    def __post_init__(self) -> None:
        if not is_integer(self.index) or self.index < 0:
            raise ValueError(f"Pick: index must be an integer of at least 0, got {self.index!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The shape of the selected output."""
        if not is_tuple_of_shapes(input_shape) or len(input_shape) <= self.index:
            raise ValueError(f"Pick: index={self.index} needs a layer with as many outputs, got shape {input_shape}")
        return tuple(input_shape[self.index])

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """See `Layer.apply_sequences`."""
        y, state = self.apply(params, state, x)
        return y, state, sequences[self.index]

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.asarray(x[self.index])

    def _numpy(self, params: Params, x: Any) -> Array:
        return x[self.index]
