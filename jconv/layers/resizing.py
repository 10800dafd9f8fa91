"""Layers that change the length of a sequence: zero padding, cropping, upsampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .. import reference
from ..geometry import ShortInput, check_positive, is_integer
from ..ragged.windows import shift
from ..streaming.buffers import StreamOptions, init_buffer, step_buffer
from ..streaming.timing import OutputTiming
from ..streaming.windows import StreamWindow, concatenate
from .base import Layer, sequence_shape
from .ragged import unsupported_lengths
from .types import Array, Params, ReceptiveField, Shape, State


class _TwoEnds(Layer):
    """Base class of layers with an option for both ends of a sequence, an integer or `(low, high)`."""

    option: ClassVar[str]

    def __post_init__(self) -> None:
        value = getattr(self, self.option)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(self, self.option, value)
        if len(self.ends) != 2 or not all(is_integer(end) and end >= 0 for end in self.ends):
            raise ValueError(
                f"{type(self).__name__}: {self.option} must be an int or (low, high), not negative, got {value!r}"
            )

    @property
    def ends(self) -> tuple[int, int]:
        """`(low, high)`."""
        value = getattr(self, self.option)
        return value if isinstance(value, tuple) else (value, value)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ZeroPaddingState:
    """The stream state of zero padding: whether the zeros at the start have been emitted."""

    has_started: bool = field(metadata={"static": True})


@dataclass(frozen=True)
class ZeroPadding1D(_TwoEnds):
    """Adds zeros at both ends of a sequence, as Keras's `ZeroPadding1D`.

    `padding` is the number of zeros at each end, or `(low, high)`. Raises `ValueError` for anything else.

    >>> ZeroPadding1D((1, 2)).output_shape((10, 3))
    (13, 3)
    """

    option = "padding"

    padding: int | tuple[int, int] = 1

    def output_shape(self, input_shape: Any) -> Shape:
        """`(length + low + high, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        return None if length is None else length + sum(self.ends), channels

    def output_timing(self) -> OutputTiming:
        """`low` output samples are available before the first input sample."""
        return OutputTiming(delay=-self.ends[0])

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """A state in which the zeros at the start have not been emitted."""
        sequence_shape(self, x.shape[1:])
        return ZeroPaddingState(has_started=False)

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """The chunk, with zeros before the first chunk and after the last."""
        ends = 0 if stream.has_started else self.ends[0], self.ends[1] if last else 0
        zeros = (jnp.zeros((x.shape[0], end, x.shape[2]), x.dtype) for end in ends)
        return concatenate([next(zeros), x, next(zeros)]), ZeroPaddingState(has_started=True)

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        if sequences.packed and sum(self.ends):
            raise unsupported_lengths(self, "packed segments would grow into their neighbours")
        y = self._jax(params, sequences.replace_padding(x))
        return y, sequences.with_counts(lambda counts: counts + sum(self.ends))

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.pad(jnp.asarray(x), ((0, 0), self.ends, (0, 0)))

    def _numpy(self, params: Params, x: Any) -> Array:
        return reference.pad(x, *self.ends)


@dataclass(frozen=True)
class Cropping1D(_TwoEnds):
    """Removes samples at both ends of a sequence, as Keras's `Cropping1D`.

    `cropping` is the number of samples at each end, or `(low, high)`. Raises `ValueError` for anything else, and for a
    sequence of which no sample remains.

    >>> Cropping1D((1, 2)).output_shape((10, 3))
    (7, 3)
    """

    option = "cropping"

    cropping: int | tuple[int, int] = 1

    def output_shape(self, input_shape: Any) -> Shape:
        """`(length - low - high, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        if length is not None and length <= sum(self.ends):
            raise ShortInput(f"Cropping1D: cropping={self.cropping} leaves nothing of a length of {length}")
        return None if length is None else length - sum(self.ends), channels

    def output_timing(self) -> OutputTiming:
        """A sample is emitted once it is known not to be among the last `high` samples."""
        return OutputTiming(delay=sum(self.ends))

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """A buffer of `high` samples."""
        sequence_shape(self, x.shape[1:])
        # `stream_step` reads the samples in temporal order, in which only a shift buffer keeps them.
        return init_buffer(self._stream_window, x.shape[:-2], x.shape[-1], x.dtype, options._replace(form="shifted"))

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """The samples of the stream, delayed by `high` samples."""
        ready, stream = step_buffer(stream, x, self._stream_window, end=0 if last else None, slots=slots)
        if ready is None:
            return jnp.zeros((x.shape[0], 0, x.shape[2]), x.dtype), stream
        return ready.samples[:, : ready.samples.shape[1] - self.ends[1]], stream

    @property
    def _stream_window(self) -> StreamWindow:
        # Windows of which only the first sample is used.
        return StreamWindow(self.ends[1] + 1, low=-self.ends[0])

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        out = sequences.with_counts(lambda counts: counts - sum(self.ends))
        y = shift(jnp.asarray(x), sequences, self.ends[0])
        y = y if sequences.packed else y[:, : x.shape[1] - sum(self.ends)]
        return out.replace_padding(y), out

    def _jax(self, params: Params, x: Any) -> jax.Array:
        low, high = self.ends
        return jnp.asarray(x)[:, low : x.shape[1] - high]

    def _numpy(self, params: Params, x: Any) -> Array:
        low, high = self.ends
        return x[:, low : x.shape[1] - high]


@dataclass(frozen=True)
class UpSampling1D(Layer):
    """Repeats each sample `size` times, as Keras's `UpSampling1D`. Raises `ValueError` for a `size` below one.

    >>> UpSampling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0]]]))[0].ravel().tolist()
    [1.0, 1.0, 3.0, 3.0]
    """

    size: int = 2

    _checks = (("size", check_positive),)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(size * length, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        return None if length is None else length * self.size, channels

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        return self._jax(params, sequences.replace_padding(x)), sequences.repeat(self.size)

    def window(self) -> ReceptiveField | None:
        """`(2 - 1 / size, 1 / size)`, in input samples."""
        return 2 - Fraction(1, self.size), Fraction(1, self.size)

    def output_timing(self) -> OutputTiming:
        """`size` output samples per input sample."""
        return OutputTiming(upsampling=self.size)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.repeat(jnp.asarray(x), self.size, axis=1)

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.repeat(x, self.size, axis=1)
