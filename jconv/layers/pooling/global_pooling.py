"""Global pooling: one value per channel over the complete length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...slots import put_rows, take_rows
from ...streaming.buffers import StreamOptions
from ..base import Layer, check_inputs, masked_value_shape, sequence_shape
from ..ragged import collapse_length, not_none, sequence_max, sequence_sum
from ..types import Array, Params, Shape, State
from .pooling import maximum_numpy


class RunningMean(NamedTuple):
    """The stream state of a mean: `sum` and its rounding `error` (batch, channels), `number` of samples (batch,)."""

    sum: jax.Array
    error: jax.Array
    number: jax.Array


class RunningMax(NamedTuple):
    """The stream state of a maximum: the `greatest` value so far and the number of samples equal to it."""

    greatest: jax.Array
    ties: jax.Array


@jax.custom_jvp
def _combine_maxima(before: RunningMax, new: RunningMax) -> RunningMax:
    """The maximum of both. All samples that are equal to it share its derivative equally."""
    ties = _select(before, new, before.ties, new.ties, before.ties + new.ties)
    return RunningMax(jnp.maximum(before.greatest, new.greatest), ties)


@_combine_maxima.defjvp
def _(primals: tuple[RunningMax, RunningMax], tangents: tuple[RunningMax, RunningMax]) -> tuple[RunningMax, RunningMax]:
    before, new = primals
    dtype = before.greatest.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    share = before.ties.astype(wide) / jnp.maximum(before.ties + new.ties, 1).astype(wide)
    share = _select(before, new, 1, 0, share).astype(dtype)
    moved = share * tangents[0].greatest + (1 - share) * tangents[1].greatest
    return _combine_maxima(before, new), RunningMax(moved, tangents[0].ties)


def _select(before: RunningMax, new: RunningMax, of_before: Any, of_new: Any, of_both: Any) -> jax.Array:
    # No test for equality: XLA may compute a value twice with different rounding.
    later = jnp.where(new.greatest > before.greatest, of_new, of_both)
    return jnp.where(before.greatest > new.greatest, of_before, later)


class _GlobalPooling(Layer):
    keepdims: bool

    _receptive_field = None

    def output_shape(self, input_shape: Any) -> Shape:
        """`(channels,)`, or `(1, channels)` with `keepdims`."""
        _, channels = sequence_shape(self, input_shape)
        return (1, channels) if self.keepdims else (channels,)

    def output_timing(self) -> None:
        """None: the output summarizes all samples so far."""
        return None


@dataclass(frozen=True)
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over the length, as Keras's `GlobalAveragePooling1D`: (length, channels) to (channels,).

    With `keepdims` the output is (1, channels). With `inputs=("sequence", "mask")` the layer also reads a mask (batch,
    length) and averages the samples whose mask is true; the mean of no samples is NaN. bfloat16 and float16 accumulate
    in float32. Raises `ValueError` for other `inputs`.

    >>> GlobalAveragePooling1D().apply({}, {}, jnp.array([[[1.0], [3.0]]]))[0].tolist()
    [[2.0]]
    >>> masked = GlobalAveragePooling1D(inputs=("sequence", "mask"))
    >>> masked.apply({}, {}, (jnp.array([[[1.0], [3.0]]]), jnp.array([[False, True]])))[0].tolist()
    [[3.0]]
    """

    keepdims: bool = False
    inputs: tuple[str, ...] = ("sequence",)

    def __post_init__(self) -> None:
        check_inputs(self, ("sequence",), ("sequence", "mask"))

    def output_shape(self, input_shape: Any) -> Shape:
        """`(channels,)`, or `(1, channels)` with `keepdims`."""
        return super().output_shape(masked_value_shape(self, input_shape) if self.has_several_inputs else input_shape)

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """A `RunningMean` of no samples."""
        sequence = x[0] if self.has_several_inputs else x
        sequence_shape(self, sequence.shape[1:])
        shape, dtype = (sequence.shape[0], sequence.shape[2]), jnp.promote_types(sequence.dtype, jnp.float32)
        # Two separate arrays, since a stream that is donated must not contain one array twice.
        return RunningMean(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.zeros(sequence.shape[0], jnp.int32))

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """The mean of all samples so far; NaN before the first."""
        total: RunningMean = take_rows(stream, slots)
        sequence, mask = x if self.has_several_inputs else (x, jnp.ones(x.shape[:2], bool))
        valid = (mask != 0)[..., None]
        added = jnp.where(valid, sequence.astype(total.sum.dtype), 0).sum(axis=1) - total.error
        # Kahan summation, so that the rounding error does not grow with the length of the stream.
        summed = total.sum + added
        number = total.number + valid.sum(axis=(1, 2), dtype=jnp.int32)
        total = RunningMean(summed, (summed - total.sum) - added, number)
        y = (total.sum / number[:, None].astype(total.sum.dtype)).astype(sequence.dtype)
        return y[:, None] if self.keepdims else y, put_rows(stream, total, slots)

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        x, mask = x if self.has_several_inputs else (x, None)
        sequences = not_none(sequences)[0]
        x = jnp.asarray(x)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        kept = sequences.valid(x.shape[1]) if mask is None else sequences.replace_padding(jnp.asarray(mask) != 0)
        sums = sequence_sum(jnp.where(kept[..., None], x.astype(wide), 0), sequences)
        counts = sequence_sum(kept[..., None].astype(wide), sequences)
        return collapse_length((sums / jnp.maximum(counts, 1)).astype(x.dtype), sequences, self.keepdims)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        if not self.has_several_inputs:
            return jnp.mean(jnp.asarray(x), axis=-2, keepdims=self.keepdims)
        sequence, mask = jnp.asarray(x[0]), jnp.asarray(x[1])[..., None] != 0
        wide = jnp.promote_types(sequence.dtype, jnp.float32)
        total = jnp.where(mask, sequence.astype(wide), 0).sum(axis=-2, keepdims=self.keepdims)
        return (total / mask.astype(wide).sum(axis=-2, keepdims=self.keepdims)).astype(sequence.dtype)

    def _numpy(self, params: Params, x: Any) -> Array:
        if not self.has_several_inputs:
            return x.mean(axis=-2, keepdims=self.keepdims)
        mask = x[1][..., None].real != 0
        total = np.where(mask, x[0], 0).sum(axis=-2, keepdims=self.keepdims)
        with np.errstate(invalid="ignore"):
            return total / mask.sum(axis=-2, keepdims=self.keepdims)


@dataclass(frozen=True)
class GlobalMaxPooling1D(_GlobalPooling):
    """The maximum over the length, as Keras's `GlobalMaxPooling1D`: (length, channels) to (channels,).

    With `keepdims` the output is (1, channels). Equal values share the gradient equally.

    >>> GlobalMaxPooling1D().apply({}, {}, jnp.array([[[1.0], [3.0]]]))[0].tolist()
    [[3.0]]
    """

    keepdims: bool = False

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """A `RunningMax` of no samples."""
        sequence_shape(self, x.shape[1:])
        shape = x.shape[0], x.shape[2]
        return RunningMax(jnp.full(shape, -jnp.inf, x.dtype), jnp.zeros(shape, jnp.int32))

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """The maximum of all samples so far; minus infinity before the first."""
        running: RunningMax = take_rows(stream, slots)
        if x.shape[1]:
            new = x.max(axis=1)
            ties = (x == new[:, None]).sum(axis=1, dtype=jnp.int32)
            running = _combine_maxima(running, RunningMax(new, jnp.maximum(ties, 1)))
        y = running.greatest
        return y[:, None] if self.keepdims else y, put_rows(stream, running, slots)

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        return collapse_length(sequence_max(jnp.asarray(x), sequences), sequences, self.keepdims)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.max(jnp.asarray(x), axis=-2, keepdims=self.keepdims)

    def _numpy(self, params: Params, x: Any) -> Array:
        y = maximum_numpy(x)
        return y if self.keepdims else y[..., 0, :]
