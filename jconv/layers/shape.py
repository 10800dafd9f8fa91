"""Layers that change the shape and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import check_positive, is_integer
from .base import Array, Layer, ReceptiveField, Shape, name_layer_in_errors


@dataclass(frozen=True)
class Flatten(Layer):
    """Keras's `Flatten`: every axis but the batch in one.

    >>> Flatten().output_shape((10, 3))
    (30,)
    """

    def output_shape(self, input_shape: Any) -> Shape:
        """The product of the sizes, unknown if one is."""
        return (None if None in input_shape else math.prod(input_shape),)

    def apply_sequences(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        sequences: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any], Any]:
        """See `Layer.apply_sequences`."""
        if sequences is not None and sequences.one_sample:
            # Each sequence has come to one sample, whose features it is flat in already.
            return sequences.only(jnp.asarray(x)), dict(state), sequences
        return super().apply_sequences(params, state, x, sequences, training=training, key=key)

    def window(self) -> ReceptiveField | None:
        """None: a dense layer that follows sees every sample."""
        return None

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@dataclass(frozen=True)
class RepeatVector(Layer):
    """Keras's `RepeatVector`: (features,) to (n, features), all alike. Raises `ValueError` for `n` below one.

    >>> RepeatVector(3).output_shape((5,))
    (3, 5)
    """

    n: int

    def __post_init__(self) -> None:
        with name_layer_in_errors(self):
            check_positive("n", self.n)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(n, features)`."""
        if len(input_shape) != 1:
            raise ValueError(
                f"RepeatVector needs an input of shape (features,) after the batch axis, got {input_shape}"
            )
        return self.n, input_shape[0]

    def window(self) -> ReceptiveField | None:
        """`(1, 0)`: every sample reads the same."""
        return 1, 0

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.repeat(jnp.asarray(x)[:, None], self.n, axis=1)

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return np.repeat(x[:, None], self.n, axis=1)


@dataclass(frozen=True)
class Permute(Layer):
    """Keras's `Permute`: axis `dims[i]` of the input, the batch being 0, is axis `i + 1` of the output.

    Raises `ValueError` unless `dims` are the numbers from 1 on, each once, and for an input of another rank.

    >>> Permute((2, 1)).output_shape((10, 3))
    (3, 10)
    """

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        dims = self.dims
        if not isinstance(dims, (tuple, list)) or not all(map(is_integer, dims)):
            raise ValueError(f"Permute: dims must be a tuple of integers, got {dims!r}")
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(f"Permute: dims must be the numbers from 1 on, each once, got {dims!r}")
        object.__setattr__(self, "dims", tuple(dims))

    def output_shape(self, input_shape: Any) -> Shape:
        """The sizes in the order of `dims`."""
        if len(input_shape) != len(self.dims):
            raise ValueError(f"Permute: dims={self.dims} needs an input of as many axes, got shape {input_shape}")
        return tuple(input_shape[axis - 1] for axis in self.dims)

    def window(self) -> ReceptiveField | None:
        """None where the first axis after the batch moves."""
        return (1, 1) if self.dims[:1] in ((), (1,)) else None

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.transpose(jnp.asarray(x), (0, *self.dims))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return np.transpose(x, (0, *self.dims))


@dataclass(frozen=True)
class Reshape(Layer):
    """Keras's `Reshape` of one example to `target_shape`, in which one size may be -1 or None: what is left.

    Raises `ValueError` for other sizes below one, for a second open one, and for an input of another size.

    >>> Reshape((-1, 2)).output_shape((3, 4))
    (6, 2)
    """

    target_shape: tuple[int | None, ...]

    def __post_init__(self) -> None:
        target = self.target_shape
        sizes: Any = target if isinstance(target, (tuple, list)) else ("none",)
        if not all(size in (-1, None) or (is_integer(size) and size > 0) for size in sizes):
            raise ValueError(f"Reshape: target_shape must be a tuple of sizes, -1 or None, got {target!r}")
        if sum(size in (-1, None) for size in target) > 1:
            raise ValueError(f"Reshape: target_shape must have at most one size of -1 or None, got {target!r}")
        object.__setattr__(self, "target_shape", tuple(target))

    def output_shape(self, input_shape: Any) -> Shape:
        """`target_shape`, its open size filled in where the input's are known."""
        known = math.prod(size for size in self.target_shape if size not in (-1, None))
        is_open = any(size in (-1, None) for size in self.target_shape)
        if None in input_shape:
            return tuple(None if size == -1 else size for size in self.target_shape)
        size = math.prod(input_shape)
        if size % known if is_open else size != known:
            raise ValueError(f"Reshape: target_shape={self.target_shape} is of another size than shape {input_shape}")
        return tuple(size // known if s in (-1, None) else s for s in self.target_shape)

    def window(self) -> ReceptiveField | None:
        """None: which samples become which depends on the shapes."""
        return None

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))
