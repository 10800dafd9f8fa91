"""The embedding layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import check_positive
from .base import Array, Arrays, Layer, Params, Shape, name_layer_in_errors


@dataclass(frozen=True)
class Embedding(Layer):
    """Looks up vectors by integer index, as Keras's `Embedding`: (...) to (..., output_dim).

    Param: `embeddings` (input_dim, output_dim). Floating-point indices are truncated to integers. As in Keras on JAX,
    indices from `-input_dim` to -1 count from the end, and indices out of range give NaN. `mask_zero` does not change
    the output: the mask is another node of the graph, `NonzeroMask`.

    Raises `ValueError` for `input_dim` or `output_dim` below one.

    >>> params, _ = Embedding(10, 4).init(jax.random.key(0), (None,))
    >>> Embedding(10, 4).apply(params, {}, jnp.array([[1, 2, 3]]))[0].shape
    (1, 3, 4)
    """

    allows_missing_channels = True

    input_dim: int
    output_dim: int
    mask_zero: bool = False

    def __post_init__(self) -> None:
        with name_layer_in_errors(self):
            check_positive("input_dim", self.input_dim)
            check_positive("output_dim", self.output_dim)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(..., output_dim)`."""
        return (*input_shape, self.output_dim)

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """`embeddings`."""
        return {"embeddings": (self.input_dim, self.output_dim)}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """`embeddings`, drawn uniformly from -0.05 to 0.05."""
        shape = (self.input_dim, self.output_dim)
        return {"embeddings": jax.random.uniform(key, shape, jnp.float32, -0.05, 0.05)}, {}

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        numbers = x if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(jnp.int32)
        return jnp.take(jnp.asarray(params["embeddings"]), numbers, axis=0)

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        numbers = np.trunc(x.real).astype(np.int64)
        inside = (numbers >= -self.input_dim) & (numbers < self.input_dim)
        rows = params["embeddings"][np.where(inside, numbers, 0)]
        return np.where(inside[..., None], rows, np.nan)
