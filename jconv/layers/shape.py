"""Layers that change the shape and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import reference
from ..geometry import check_positive, is_integer
from ..history import Form, Taps, advance, joined, start
from ..pace import Pace
from ..ragged import repeated, shifted
from .base import Array, Layer, Shape, Window, sequence_shape, speaking_for
from .ragged import refused


def _ends(layer: Layer, name: str) -> None:
    """Raise `ValueError` unless the layer's field is an int or (low, high), not negative; a list becomes a tuple."""
    value = getattr(layer, name)
    if isinstance(value, list):
        value = tuple(value)
        object.__setattr__(layer, name, value)
    ends = value if isinstance(value, tuple) else (value,) * 2
    if len(ends) != 2 or not all(is_integer(end) and end >= 0 for end in ends):
        raise ValueError(f"{type(layer).__name__}: {name} must be an int or (low, high), not negative, got {value!r}")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Padded:
    """What a stream of zero padding keeps: whether the zeros at the start have come."""

    begun: bool = field(metadata={"static": True})


@dataclass(frozen=True)
class ZeroPadding1D(Layer):
    """Keras's `ZeroPadding1D`: zeros before and after; `padding` is a number for both ends, or `(low, high)`.

    Raises `ValueError` for anything else.

    >>> ZeroPadding1D((1, 2)).output_shape((10, 3))
    (13, 3)
    """

    padding: int | tuple[int, int] = 1

    def __post_init__(self) -> None:
        _ends(self, "padding")

    @property
    def ends(self) -> tuple[int, int]:
        """`(low, high)`."""
        return self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(length + low + high, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        return None if length is None else length + sum(self.ends), channels

    def pace(self) -> Pace:
        """`low` samples are there before any input."""
        return Pace(lead=-self.ends[0])

    def stream_init(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, form: Form) -> Any:
        """Whether the zeros at the start are still to come."""
        sequence_shape(self, x.shape[1:])
        return Padded(begun=False)

    def stream_step(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        stream: Any,
        x: Any,
        *,
        last: bool = False,
        slots: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """The chunk, with zeros before the first and after the last."""
        ends = 0 if stream.begun else self.ends[0], self.ends[1] if last else 0
        zeros = (jnp.zeros((x.shape[0], end, x.shape[2]), x.dtype) for end in ends)
        return joined([next(zeros), x, next(zeros)]), Padded(begun=True)

    def on_sequences(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        sequences: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any], Any]:
        """`apply_ragged` by positions; see `Layer`."""
        if sequences is None:
            return super().on_sequences(params, state, x, sequences, training=training, key=key)
        if sequences.packed and sum(self.ends):
            raise refused(self, "of segments, which would become longer, neighbours would overlap")
        y, state = self.apply(params, state, sequences.only(jnp.asarray(x)))
        return y, state, sequences.after(lambda counts: counts + sum(self.ends))

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.pad(jnp.asarray(x), ((0, 0), self.ends, (0, 0)))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return reference.pad(x, *self.ends)


@dataclass(frozen=True)
class Flatten(Layer):
    """Keras's `Flatten`: every axis but the batch in one.

    >>> Flatten().output_shape((10, 3))
    (30,)
    """

    def output_shape(self, input_shape: Any) -> Shape:
        """The product of the sizes, unknown if one is."""
        return (None if None in input_shape else math.prod(input_shape),)

    def on_sequences(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        sequences: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any], Any]:
        """`apply_ragged` by positions; see `Layer`."""
        if sequences is not None and sequences.one_sample:
            # Each sequence has come to one sample, whose features it is flat in already.
            return sequences.only(jnp.asarray(x)), dict(state), sequences
        return super().on_sequences(params, state, x, sequences, training=training, key=key)

    def window(self) -> Window | None:
        """None: a dense layer that follows sees every sample."""
        return None

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@dataclass(frozen=True)
class Cropping1D(Layer):
    """Keras's `Cropping1D`: samples cut off; `cropping` is a number for both ends, or `(low, high)`.

    Raises `ValueError` for anything else, and for a length of which nothing is left.

    >>> Cropping1D((1, 2)).output_shape((10, 3))
    (7, 3)
    """

    cropping: int | tuple[int, int] = 1

    def __post_init__(self) -> None:
        _ends(self, "cropping")

    @property
    def ends(self) -> tuple[int, int]:
        """`(low, high)`."""
        return self.cropping if isinstance(self.cropping, tuple) else (self.cropping, self.cropping)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(length - low - high, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        if length is not None and length <= sum(self.ends):
            raise ValueError(f"Cropping1D: cropping={self.cropping} leaves nothing of a length of {length}")
        return None if length is None else length - sum(self.ends), channels

    def pace(self) -> Pace:
        """A sample is there when it is known not to be one of the last."""
        return Pace(lead=sum(self.ends))

    def stream_init(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, form: Form) -> Any:
        """A history of `high` samples."""
        sequence_shape(self, x.shape[1:])
        # In order: what is read are samples, not windows.
        return start(self._taps, x.shape[:-2], x.shape[-1], x.dtype, form._replace(name="shifted"))

    def stream_step(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        stream: Any,
        x: Any,
        *,
        last: bool = False,
        slots: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """The samples `high` before those of the chunk."""
        ready, stream = advance(stream, x, self._taps, end=0 if last else None, slots=slots)
        if ready is None:
            return jnp.zeros((x.shape[0], 0, x.shape[2]), x.dtype), stream
        return ready.samples[:, : ready.samples.shape[1] - self.ends[1]], stream

    @property
    def _taps(self) -> Taps:
        # Windows of which the first sample is read.
        return Taps(self.ends[1] + 1, early=-self.ends[0])

    def on_sequences(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        sequences: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any], Any]:
        """`apply_ragged` by positions; see `Layer`."""
        if sequences is None:
            return super().on_sequences(params, state, x, sequences, training=training, key=key)
        self.check(params, state, x)
        out = sequences.after(lambda counts: counts - sum(self.ends))
        y = shifted(jnp.asarray(x), sequences, self.ends[0])
        y = y if sequences.packed else y[:, : x.shape[1] - sum(self.ends)]
        return out.only(y), dict(state), out

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        low, high = self.ends
        return jnp.asarray(x)[:, low : x.shape[1] - high]

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        low, high = self.ends
        return x[:, low : x.shape[1] - high]


@dataclass(frozen=True)
class UpSampling1D(Layer):
    """Keras's `UpSampling1D`: each sample `size` times. Raises `ValueError` for a `size` below one.

    >>> UpSampling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0]]]))[0].ravel().tolist()
    [1.0, 1.0, 3.0, 3.0]
    """

    size: int = 2

    def __post_init__(self) -> None:
        with speaking_for(self):
            check_positive("size", self.size)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(size * length, channels)`."""
        length, channels = sequence_shape(self, input_shape)
        return None if length is None else length * self.size, channels

    def on_sequences(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        sequences: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any], Any]:
        """`apply_ragged` by positions; see `Layer`."""
        if sequences is None:
            return super().on_sequences(params, state, x, sequences, training=training, key=key)
        y, state = self.apply(params, state, sequences.only(jnp.asarray(x)))
        return y, state, repeated(sequences, self.size)

    def window(self) -> Window | None:
        """In fractions of an input sample: `2 - 1 / size` and `1 / size`."""
        return 2 - Fraction(1, self.size), Fraction(1, self.size)

    def pace(self) -> Pace:
        """`size` samples for each."""
        return Pace(rate=self.size)

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        return jnp.repeat(jnp.asarray(x), self.size, axis=1)

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return np.repeat(x, self.size, axis=1)


@dataclass(frozen=True)
class RepeatVector(Layer):
    """Keras's `RepeatVector`: (features,) to (n, features), all alike. Raises `ValueError` for `n` below one.

    >>> RepeatVector(3).output_shape((5,))
    (3, 5)
    """

    n: int

    def __post_init__(self) -> None:
        with speaking_for(self):
            check_positive("n", self.n)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(n, features)`."""
        if len(input_shape) != 1:
            raise ValueError(
                f"RepeatVector needs an input of shape (features,) after the batch axis, got {input_shape}"
            )
        return self.n, input_shape[0]

    def window(self) -> Window | None:
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

    def window(self) -> Window | None:
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

    def window(self) -> Window | None:
        """None: which samples become which depends on the shapes."""
        return None

    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:]))
