"""Group normalization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..axes import as_axis, axis_positions, axis_sizes
from ..ragged import sample_count, sequence_sum, unsupported_lengths
from ..types import Array, Arrays, ArrayShapes, Params
from .layer_normalization import PerExampleNormalization


@dataclass(frozen=True)
class GroupNormalization(PerExampleNormalization):
    """Group normalization, as Keras's `GroupNormalization` (Wu and He, 2018, arXiv:1803.08494).

    Divides `axis` (axis 0 is the batch) into `groups` of consecutive indices and normalizes each group of each example
    over all its values: `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`. `groups=-1` means one group per
    index. Params: `gamma` (with `scale`) and `beta` (with `center`), one value per index of `axis`. bfloat16 and
    float16 are computed in float32.

    Raises `ValueError` for the batch axis, for more than one axis, and if `groups` does not divide the axis.

    >>> GroupNormalization(2).param_shapes((None, 4))
    {'gamma': (4,), 'beta': (4,)}
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    # The statistics of a group depend on the complete length.
    _receptive_field = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", as_axis(self, self.axis))
        if isinstance(self.groups, bool) or not isinstance(self.groups, int) or (self.groups < 1 and self.groups != -1):
            raise ValueError(f"GroupNormalization: groups must be an integer of at least 1, or -1, got {self.groups!r}")

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`gamma` with `scale`, `beta` with `center`."""
        (size,) = axis_sizes(self, self.axis, input_shape)
        if size % self.groups:
            raise ValueError(
                f"GroupNormalization: groups={self.groups} must divide the size {size} of axis={self.axis} of an input "
                f"of shape {tuple(input_shape)}"
            )
        present = {"gamma": self.scale, "beta": self.center}
        return {name: (size,) for name, there in present.items() if there}

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        if x.ndim != 3 or axis_positions(self, self.axis, x.shape[1:]) != (2,):
            raise unsupported_lengths(self, "it needs groups of channels, and inputs (length, channels)")
        x = jnp.asarray(x)
        dtype = jnp.result_type(x, *params.values())
        wide = jnp.promote_types(dtype, jnp.float32)

        def mean(a: jax.Array, axes: Any) -> jax.Array:
            sums = sequence_sum(sequences.replace_padding(a).sum(-1, keepdims=True), sequences)
            return sums / (sample_count(sequences, a) * a.shape[-1])

        y = self._standardize(sequences.replace_padding(x).astype(wide), mean)
        y = self._scale_and_shift({name: jnp.asarray(a).astype(wide) for name, a in params.items()}, y.reshape(x.shape))
        return sequences.replace_padding(y.astype(dtype)), sequences

    def _normalize(self, params: Arrays, x: jax.Array) -> jax.Array:
        return self._scale_and_shift(params, self._standardize(x, partial(jnp.mean, keepdims=True)).reshape(x.shape))

    def _standardize(self, x: jax.Array, mean: Callable[..., jax.Array]) -> jax.Array:
        """The groups with mean 0 and variance 1, of the shape of `_grouped`."""
        grouped, axes = self._grouped(x)
        centered = grouped - mean(grouped, axes)
        return centered * jax.lax.rsqrt(mean(jnp.square(centered), axes) + self.epsilon)

    def _numpy(self, params: Params, x: Any) -> Array:
        grouped, axes = self._grouped(x)
        centered = grouped - grouped.mean(axis=axes, keepdims=True)
        variance = (centered**2).mean(axis=axes, keepdims=True)
        return self._scale_and_shift(params, (centered / np.sqrt(variance + self.epsilon)).reshape(x.shape))

    def _grouped(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """`x` with `axis` split into (groups, size of a group), and the axes to reduce."""
        (axis,) = axis_positions(self, self.axis, x.shape[1:])
        groups = x.shape[axis] if self.groups == -1 else self.groups
        shape = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
        return x.reshape(shape), tuple(i for i in range(1, x.ndim + 1) if i != axis)
