"""Batch normalization, with the moving averages in `state`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...reference.convolution import exact
from ..axes import as_axis, axis_positions, axis_sizes, broadcast_shape
from ..base import Layer, check_inputs, count_elementwise_flops, masked_value_shape
from ..ragged import prepare_samplewise
from ..types import Array, Arrays, ArrayShapes, Key, OutputAndSequences, OutputAndState, Params, Shape, State

# Keras adds this to the number of unmasked samples, which may be zero.
COUNT_EPSILON = 1e-7


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """Batch normalization, as Keras's `BatchNormalization` (Ioffe and Szegedy, 2015, arXiv:1502.03167).

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each index of `axis`; axis 0 is the batch. In
    training, mean and (biased) variance are computed from the batch, and the new state is
    `moving * momentum + batch * (1 - momentum)`. Outside training, mean and variance are the moving averages. Params:
    `gamma` (with `scale`) and `beta` (with `center`). State: `moving_mean` and `moving_variance`. bfloat16 and float16
    are computed in float32.

    With `inputs=("sequence", "mask")` the layer also reads a mask with the shape of the input without the last axis.
    In training, the statistics exclude masked samples. As in Keras, 1e-7 is added to the number of unmasked
    samples. Outside training the mask has no effect.

    Raises `ValueError` for the batch axis, for more than one axis, and for other `inputs`.

    >>> layer = BatchNormalization()
    >>> params, state = layer.init(jax.random.key(0), (None, 3))
    >>> y, state = layer.apply(params, state, jnp.ones((2, 5, 3)), training=True)
    >>> [f"{mean:.2f}" for mean in state["moving_mean"]]
    ['0.01', '0.01', '0.01']
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    inputs: tuple[str, ...] = ("sequence",)

    _infers_when_frozen = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", as_axis(self, self.axis))
        check_inputs(self, ("sequence",), ("sequence", "mask"))

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape; the size along `axis` must be known."""
        shape = masked_value_shape(self, input_shape) if self.has_several_inputs else tuple(input_shape)
        axis_sizes(self, self.axis, shape)
        return shape

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`gamma` with `scale`, `beta` with `center`."""
        present = {"gamma": self.scale, "beta": self.center}
        sizes = axis_sizes(self, self.axis, self._split_mask(input_shape)[0])
        return {name: sizes for name, there in present.items() if there}

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """`moving_mean` and `moving_variance`."""
        sizes = axis_sizes(self, self.axis, self._split_mask(input_shape)[0])
        return {name: sizes for name in ("moving_mean", "moving_variance")}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Ones for `gamma` and `moving_variance`, zeros for `beta` and `moving_mean`; `key` is not used."""
        self.output_shape(input_shape)
        filled = {"gamma": jnp.ones, "beta": jnp.zeros, "moving_mean": jnp.zeros, "moving_variance": jnp.ones}
        params = {name: filled[name](shape) for name, shape in self.param_shapes(input_shape).items()}
        return params, {name: filled[name](shape) for name, shape in self.state_shapes(input_shape).items()}

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`(y, state)`; in training the new state holds the updated moving averages."""
        self.check(params, state, x)
        x, mask = self._split_mask(x)
        mask = None if mask is None else jnp.asarray(mask) != 0
        return self._apply_masked(params, state, x, mask, COUNT_EPSILON, training)

    def _apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, training: bool, key: Key
    ) -> OutputAndSequences:
        cleared, sequences = prepare_samplewise(self, x, sequences)
        self.check(params, state, cleared)
        cleared, mask = self._split_mask(cleared)
        kept = sequences.valid(cleared.shape[1])
        kept = kept.reshape(kept.shape + (1,) * (cleared.ndim - 1 - kept.ndim))
        kept = jnp.broadcast_to(kept, cleared.shape[:-1])
        count_epsilon = 0.0 if mask is None else COUNT_EPSILON
        kept = kept if mask is None else kept & (jnp.asarray(mask) != 0)
        y, state = self._apply_masked(params, state, cleared, kept, count_epsilon, training)
        return sequences.replace_padding(y), state, sequences

    def _apply_masked(
        self, params: Params, state: State, x: Any, mask: jax.Array | None, count_epsilon: float, training: bool
    ) -> OutputAndState:
        """`apply` with a boolean mask or None; `count_epsilon` is added to the number of unmasked samples."""
        x = jnp.asarray(x)
        dtype = jnp.result_type(x, *params.values())
        wide = jnp.promote_types(dtype, jnp.float32)
        x = x.astype(wide)
        new_state = dict(state)
        if training:
            mean, variance = self._moments(x, mask, count_epsilon)
            for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
                moving = jnp.asarray(state[name])
                new_state[name] = (moving * self.momentum + batch * (1 - self.momentum)).astype(moving.dtype)
        else:
            mean = jnp.asarray(state["moving_mean"]).astype(wide)
            variance = jnp.asarray(state["moving_variance"]).astype(wide)
        factor = jax.lax.rsqrt(variance + self.epsilon)
        factor = factor * jnp.asarray(params["gamma"]).astype(wide) if self.scale else factor
        y = (x - self._broadcast(mean, x)) * self._broadcast(factor, x)
        y = y + self._broadcast(jnp.asarray(params["beta"]).astype(wide), x) if self.center else y
        return y.astype(dtype), new_state

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Array:
        """`apply` in NumPy; `training=True` uses the statistics of the batch."""
        self.check(params, state, x)
        x, mask = self._split_mask(x)
        x = exact(x)
        if training:
            # Not np.var, which takes the absolute value of complex numbers and breaks complex-step derivatives.
            kept = np.ones(x.shape) if mask is None else np.zeros(x.shape) + (exact(mask).real != 0)[..., None]
            axes = self._reduced_axes(x)
            count = kept.sum(axis=axes) + (0 if mask is None else COUNT_EPSILON)
            mean = (x * kept).sum(axis=axes) / count
            variance = ((x - self._broadcast(mean, x)) ** 2 * kept).sum(axis=axes) / count
        else:
            mean, variance = exact(state["moving_mean"]), exact(state["moving_variance"])
        y = (x - self._broadcast(mean, x)) / np.sqrt(self._broadcast(variance, x) + self.epsilon)
        y = y * self._broadcast(exact(params["gamma"]), x) if self.scale else y
        return y + self._broadcast(exact(params["beta"]), x) if self.center else y

    def flops(self, input_shape: Any) -> int:
        """One multiply-add per element, as outside training."""
        return count_elementwise_flops(self, self._split_mask(input_shape)[0])

    def _split_mask(self, x: Any) -> tuple[Any, Any]:
        """`(sequence, mask)`; the mask may be None."""
        return (x[0], x[1]) if self.has_several_inputs else (x, None)

    def _reduced_axes(self, x: Any) -> tuple[int, ...]:
        (axis,) = axis_positions(self, self.axis, x.shape[1:])
        return tuple(i for i in range(x.ndim) if i != axis)

    def _broadcast(self, a: Any, x: Any) -> Any:
        """`a`, with one value per index of `axis`, reshaped to broadcast to `x`."""
        return a.reshape(broadcast_shape(a.shape, axis_positions(self, self.axis, x.shape[1:]), x.ndim))

    def _moments(self, x: jax.Array, mask: jax.Array | None, count_epsilon: float) -> tuple[jax.Array, jax.Array]:
        axes = self._reduced_axes(x)
        if mask is None:
            mean = x.mean(axes)
            return mean, jnp.square(x - self._broadcast(mean, x)).mean(axes)
        kept = jnp.broadcast_to(mask[..., None], x.shape)
        # Avoid 0 / 0 if there are no samples.
        count = kept.sum(axes).astype(x.dtype)
        count = count + count_epsilon if count_epsilon else jnp.maximum(count, 1)
        mean = jnp.where(kept, x, 0).sum(axes) / count
        return mean, jnp.where(kept, jnp.square(x - self._broadcast(mean, x)), 0).sum(axes) / count
