"""Max pooling and average pooling.

Windows are slices, not `jax.lax.reduce_window`, so that forward-mode and higher derivatives and vmap work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ... import reference
from ...algorithms.einsum import unfold
from ...geometry import Geometry, check_positive, make_geometry
from ...primitive.materialize import materialize
from ...ragged.windows import Window as RaggedWindow
from ...ragged.windows import read_windows
from ...streaming.buffers import StreamOptions, init_buffer, step_buffer
from ...streaming.convolution import end_padding, stream_window
from ...streaming.timing import OutputTiming, convolution_timing
from ...streaming.windows import StreamWindow
from ..base import Layer, check_optional, name_layer_in_errors, sequence_shape
from ..types import Array, Params, ReceptiveField, Shape, State

# Up to this pool size, one comparison per tap is the fastest, also for the gradient.
MAX_COMPARED_TAPS = 8


class _Pooling(Layer):
    """Base class; `stride=None` means `pool_size`."""

    pool_size: int
    stride: int | None
    padding: str
    fill: ClassVar[float]

    _checks = (("pool_size", check_positive), ("stride", check_optional(check_positive)))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding not in ("valid", "same"):
            raise ValueError(f"{type(self).__name__}: padding must be valid or same, got {self.padding!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """`(out_length, channels)`; an unknown length stays unknown."""
        length, channels = sequence_shape(self, input_shape)
        with name_layer_in_errors(self):
            return None if length is None else self._geometry(length).out_length, channels

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        window = RaggedWindow(self.pool_size, self._stride, self.padding)
        out = window.output_sequences(sequences)
        y = self._reduce_windows(*read_windows(jnp.asarray(x), sequences, window, self.fill))
        return out.replace_padding(y), out

    def window(self) -> ReceptiveField | None:
        """`(pool_size, stride)`."""
        return self.pool_size, self._stride

    def output_timing(self) -> OutputTiming:
        """Same as for a convolution with this kernel size and stride."""
        return convolution_timing(self.pool_size, stride=self._stride, padding=self.padding)

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """A buffer of samples. For a mean it has one more channel, with 1 for samples and 0 for padding."""
        sequence_shape(self, x.shape[1:])
        return init_buffer(
            self._stream_window, x.shape[:-2], x.shape[-1] + self._counts_samples, x.dtype, options, self.fill
        )

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """The outputs that the chunk completes."""
        window = self._stream_window
        with name_layer_in_errors(self):
            end = end_padding(window, self.padding, stream.needed, x.shape[-2]) if last else None
        read = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1) if self._counts_samples else x
        ready, stream = step_buffer(stream, read, window, fill=self.fill, end=end, slots=slots)
        if ready is None:
            return jnp.zeros((*x.shape[:-2], 0, x.shape[-1]), x.dtype), stream
        return self._pool(ready.samples, ready.stride), stream

    _counts_samples: ClassVar[bool] = False

    def _pool(self, x: jax.Array, stride: int) -> jax.Array:
        """Pool the buffered samples, without padding."""
        raise NotImplementedError

    @property
    def _stride(self) -> int:
        return self.pool_size if self.stride is None else self.stride

    @property
    def _stream_window(self) -> StreamWindow:
        return stream_window(self.pool_size, stride=self._stride, padding=self.padding)

    def _reduce_windows(self, windows: jax.Array, valid: jax.Array) -> jax.Array:
        """Reduce windows (..., pool_size, channels); `valid` (..., pool_size) marks the samples of the sequence."""
        raise NotImplementedError

    def _geometry(self, length: int) -> Geometry:
        return make_geometry(length, self.pool_size, stride=self._stride, padding=self.padding)

    def _padded(self, x: Any, fill: float) -> Any:
        """`x`, a NumPy or JAX array, padded with `fill` for `padding="same"`."""
        geometry = self._geometry(x.shape[-2])
        widths = [(0, 0)] * (x.ndim - 2) + [(geometry.low, geometry.high), (0, 0)]
        return (np if isinstance(x, np.ndarray) else jnp).pad(x, widths, constant_values=fill)

    def _windows(self, x: jax.Array, fill: float) -> jax.Array:
        """(..., length, channels) to (..., out_length, pool_size, channels)."""
        return unfold(self._padded(x, fill), self.pool_size, stride=self._stride)

    def _numpy_windows(self, x: Array, fill: float) -> Array:
        return reference.unfold(self._padded(x, fill), self.pool_size, stride=self._stride)


def window_max(x: jax.Array, geometry: Geometry) -> jax.Array:
    """The maximum of each window of `x` (..., length, channels). The first of equal values gets the gradient.

    >>> window_max(jnp.array([[3.0], [1.0], [2.0]]), Geometry(length=3, kernel_size=2)).ravel().tolist()
    [3.0, 2.0]
    """
    size, stride = geometry.kernel_size, geometry.stride
    span = (geometry.out_length - 1) * stride + 1
    if size <= MAX_COMPARED_TAPS:
        return reduce(_first_maximum, (_slice(x, k, span, stride) for k in range(size)))
    # Double the window size in each pass, from two windows that touch or overlap: for long windows this needs far
    # fewer passes than one per tap.
    covered = 1
    while covered < size:
        step = min(covered, size - covered)
        length = x.shape[-2] - step
        x = _first_maximum(_slice(x, 0, length), _slice(x, step, length))
        covered += step
    return _slice(x, 0, span, stride)


def maximum_numpy(windows: Array) -> Array:
    """The maximum of each window (..., size, channels), compared by the real part: (..., 1, channels)."""
    return np.take_along_axis(windows, windows.real.argmax(axis=-2, keepdims=True), axis=-2)


def _first_maximum(first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.where((second > first) | jnp.isnan(second), second, first)


def _slice(x: jax.Array, start: int, length: Any, stride: int = 1) -> jax.Array:
    return jax.lax.slice_in_dim(x, start, start + length, stride, axis=-2)


@dataclass(frozen=True)
class MaxPooling1D(_Pooling):
    """The maximum of each window, as Keras's `MaxPooling1D`: (length, channels) to (out_length, channels).

    `stride=None` means `pool_size`; `padding` is `"valid"` or `"same"`. The first of equal values gets the gradient, as
    in Keras. Raises `ValueError` for sizes below one and another padding.

    >>> MaxPooling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0], [2.0], [0.0]]]))[0].ravel().tolist()
    [3.0, 2.0]
    """

    fill = -np.inf

    pool_size: int = 2
    stride: int | None = None
    padding: str = "valid"

    def _reduce_windows(self, windows: jax.Array, valid: jax.Array) -> jax.Array:
        return jnp.take_along_axis(windows, windows.argmax(axis=-2, keepdims=True), axis=-2)[..., 0, :]

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return self._pool(self._padded(jnp.asarray(x), self.fill), self._stride)

    def _pool(self, x: jax.Array, stride: int) -> jax.Array:
        if self.pool_size > stride:  # XLA would compute a sample again for each window that reads it.
            x = materialize(x)
        return window_max(x, make_geometry(x.shape[-2], self.pool_size, stride=stride))

    def _numpy(self, params: Params, x: Any) -> Array:
        return maximum_numpy(self._numpy_windows(x, self.fill))[..., 0, :]


@dataclass(frozen=True)
class AveragePooling1D(_Pooling):
    """The mean of each window, as Keras's `AveragePooling1D`: (length, channels) to (out_length, channels).

    `stride=None` means `pool_size`; `padding` is `"valid"` or `"same"`. The mean excludes the padding of `"same"`.
    bfloat16 and float16 accumulate in float32. Raises `ValueError` for sizes below one and another padding.

    >>> AveragePooling1D(2, padding="same").apply({}, {}, jnp.array([[[1.0], [3.0], [2.0]]]))[0].ravel().tolist()
    [2.0, 2.0]
    """

    _counts_samples = True
    fill = 0.0

    pool_size: int = 2
    stride: int | None = None
    padding: str = "valid"

    def _pool(self, x: jax.Array, stride: int) -> jax.Array:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        sums = unfold(x.astype(wide), self.pool_size, stride=stride).sum(axis=-2)
        return (sums[..., :-1] / sums[..., -1:]).astype(x.dtype)

    def _reduce_windows(self, windows: jax.Array, valid: jax.Array) -> jax.Array:
        wide = jnp.promote_types(windows.dtype, jnp.float32)
        counts = jnp.maximum(valid.sum(axis=-1), 1)[..., None].astype(wide)
        return (windows.astype(wide).sum(axis=-2) / counts).astype(windows.dtype)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        windows = self._windows(x.astype(wide), 0)
        counted = self._windows(jnp.ones((x.shape[-2], 1), wide), 0)
        return (windows.sum(axis=-2) / counted.sum(axis=-2)).astype(x.dtype)

    def _numpy(self, params: Params, x: Any) -> Array:
        counted = self._numpy_windows(np.ones((x.shape[-2], 1)), 0)
        return self._numpy_windows(x, 0).sum(axis=-2) / counted.sum(axis=-2)
