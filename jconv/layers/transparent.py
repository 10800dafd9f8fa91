"""Layers around a layer that leave its meaning and the names of its arrays: channels first, frozen, in a type.

They nest in each other in any order, and go around layers with several inputs or several outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import DTYPES
from .base import Arrays, Layer, Window, map_inputs, map_shapes
from .normalization import BatchNormalization
from .ragged import present, refused


@dataclass(frozen=True)
class _Transparent(Layer):
    """The inner layer in every respect; what differs, a subclass says."""

    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ValueError(f"{type(self).__name__}: layer must be a layer, got {self.layer!r}")

    @property
    def merges(self) -> bool:
        """As the inner layer."""
        return self.layer.merges

    def output_shape(self, input_shape: Any) -> Any:
        """The inner layer's."""
        return self.layer.output_shape(input_shape)

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The inner layer's."""
        return self.layer.param_shapes(input_shape)

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The inner layer's."""
        return self.layer.state_shapes(input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """The inner layer's."""
        return self.layer.init(key, input_shape)

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The inner layer's."""
        return self.layer.apply(params, state, x, training=training, key=key)

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
        """The inner layer's."""
        return self.layer.on_sequences(params, state, x, sequences, training=training, key=key)

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The inner layer's."""
        return self.layer.reference(params, state, x, training=training)

    def flops(self, input_shape: Any) -> int:
        """The inner layer's."""
        return self.layer.flops(input_shape)

    def window(self) -> Window | None:
        """The inner layer's."""
        return self.layer.window()


@dataclass(frozen=True)
class ChannelsFirst(_Transparent):
    """A layer on inputs (batch, channels, length): Keras's `data_format="channels_first"`.

    Axis 1 of every input with at least three axes, the batch counted, is moved last; the inner layer computes; and the
    last axis of every output with at least three is moved back. Arrays are the inner layer's own. Raises `ValueError`
    for something that is no layer.

    >>> from jconv.layers import Conv1D, Flatten
    >>> ChannelsFirst(Conv1D(8, 3)).output_shape((4, 10))
    (8, 8)
    >>> ChannelsFirst(Flatten()).apply({}, {}, jnp.array([[[1, 2], [3, 4]]]))[0].tolist()
    [[1, 3, 2, 4]]
    """

    def output_shape(self, input_shape: Any) -> Any:
        """The inner layer's, with the channels in front of the length."""
        return map_shapes(_first, self.layer.output_shape(map_shapes(_last, input_shape)))

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The inner layer's for the channels last."""
        return self.layer.param_shapes(map_shapes(_last, input_shape))

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The inner layer's for the channels last."""
        return self.layer.state_shapes(map_shapes(_last, input_shape))

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """The inner layer's for the channels last."""
        return self.layer.init(key, map_shapes(_last, input_shape))

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The inner layer's of the moved `x`, moved back."""
        x = map_inputs(lambda a: _moved(jnp, jnp.asarray(a), 1, -1), x)
        y, state = self.layer.apply(params, state, x, training=training, key=key)
        return map_inputs(lambda a: _moved(jnp, a, -1, 1), y), state

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
        """The inner layer's of what is no sequence; raises `ValueError` for a sequence, whose length must be axis 1."""
        if present(sequences):
            raise refused(self, "the length must be the first axis after the batch")
        y, state = self.apply(params, state, x, training=training, key=key)
        return y, state, map_inputs(lambda _: None, y)

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The same in NumPy."""
        x = map_inputs(lambda a: _moved(np, np.asarray(a), 1, -1), x)
        y = self.layer.reference(params, state, x, training=training)
        return map_inputs(lambda a: _moved(np, a, -1, 1), y)

    def flops(self, input_shape: Any) -> int:
        """The inner layer's for the channels last."""
        return self.layer.flops(map_shapes(_last, input_shape))

    def __str__(self) -> str:
        return f"{self.layer} channels first"


def _last(shape: Any) -> Any:
    return (*shape[1:], shape[0]) if len(shape) > 1 else tuple(shape)


def _first(shape: Any) -> Any:
    return (shape[-1], *shape[:-1]) if len(shape) > 1 else tuple(shape)


def _moved(library: Any, array: Any, source: int, target: int) -> Any:
    return library.moveaxis(array, source, target) if array.ndim > 2 else array


@dataclass(frozen=True)
class Frozen(_Transparent):
    """A layer that is not trained: Keras's `trainable=False`. All its arrays are in `state`, none in `params`.

    In training a `BatchNormalization`, also one inside the layer, computes as outside it and leaves its averages,
    as in Keras; everything else does in training what it does: a dropout drops. Raises `ValueError` for something
    that is no layer.

    >>> from jconv.layers import Dense
    >>> params, state = Frozen(Dense(5)).init(jax.random.key(0), (3,))
    >>> params, list(state)
    ({}, ['kernel', 'bias'])
    """

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """None."""
        return {}

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """All of the inner layer's arrays, params first."""
        return self.layer.param_shapes(input_shape) | self.layer.state_shapes(input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """`({}, state)` with what the inner layer draws."""
        params, state = self.layer.init(key, input_shape)
        return {}, params | state

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The inner layer's; see the class for training."""
        own, rest = self._split(params, state, x)
        y, after = _at_rest(self.layer).apply(own, rest, x, training=training, key=key)
        return y, {**own, **after}

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
        """The inner layer's; see the class for training."""
        own, rest = self._split(params, state, x)
        y, after, sequences = _at_rest(self.layer).on_sequences(own, rest, x, sequences, training=training, key=key)
        return y, {**own, **after}, sequences

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The same in NumPy."""
        own, rest = self._split(params, state, x)
        return _at_rest(self.layer).reference(own, rest, x, training=training)

    def __str__(self) -> str:
        return f"{self.layer} frozen"

    def _split(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The inner layer's params and state."""
        self.check(params, state, x)
        names = self.layer.param_shapes(map_inputs(lambda a: tuple(np.shape(a))[1:], x))
        return {name: state[name] for name in names}, {name: state[name] for name in state if name not in names}


@dataclass(frozen=True)
class _AtRest(_Transparent):
    """A layer that never trains."""

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        return self.layer.apply(params, state, x)

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
        return self.layer.on_sequences(params, state, x, sequences)

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        return self.layer.reference(params, state, x)


def _at_rest(value: Any) -> Any:
    """A layer, or a tuple of some, with every batch normalization in it at rest."""
    if isinstance(value, tuple):
        return tuple(_at_rest(v) for v in value)
    if isinstance(value, BatchNormalization):
        return _AtRest(value)
    if not isinstance(value, Layer):
        return value
    inner = {field.name: getattr(value, field.name) for field in fields(value)}
    resting = {name: _at_rest(v) for name, v in inner.items() if isinstance(v, (Layer, tuple))}
    return replace(value, **resting) if any(resting[name] != inner[name] for name in resting) else value


# The arrays of the normalizations, which Keras keeps in their own type under every policy.
KEPT = ("gamma", "beta", "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev")


@dataclass(frozen=True)
class InDtype(_Transparent):
    """A layer that computes in a type of its own: what a mixed precision policy of Keras comes to.

    Floating inputs and arrays are cast to `dtype`, `"bfloat16"`, `"float16"`, `"float32"` or `"float64"`, before the
    inner layer computes, and its floating outputs are in it. As in Keras, the arrays of normalizations are not cast
    (`gamma`, `beta` and the moving ones). State comes back in its own type. The reference ignores the type. Outside
    JAX's 64-bit mode `"float64"` is float32. Raises `ValueError` for another type and for something that is no layer.

    >>> from jconv.layers import Dense
    >>> layer = InDtype(Dense(5), "bfloat16")
    >>> params, state = layer.init(jax.random.key(0), (3,))
    >>> params["kernel"].dtype, layer.apply(params, state, jnp.ones((1, 3)))[0].dtype
    (dtype('float32'), dtype(bfloat16))
    """

    dtype: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype not in DTYPES:
            raise ValueError(f"InDtype: dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The inner layer's in the type, its state in the type that it came in."""
        own, rest = self._cast_named(params), self._cast_named(state)
        y, after = self.layer.apply(own, rest, map_inputs(self._cast, x), training=training, key=key)
        return map_inputs(self._cast, y), self._cast_back(after, rest, state)

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
        """The inner layer's in the type."""
        own, rest = self._cast_named(params), self._cast_named(state)
        x = map_inputs(self._cast, x)
        y, after, sequences = self.layer.on_sequences(own, rest, x, sequences, training=training, key=key)
        return map_inputs(self._cast, y), self._cast_back(after, rest, state), sequences

    def __str__(self) -> str:
        return f"{self.layer} in {self.dtype}"

    def _cast_back(self, after: Mapping[str, Any], cast: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
        """The new state in its own type; what was only cast there and back is not rounded by it."""
        return {
            name: state[name] if array is cast[name] else array.astype(jnp.asarray(state[name]).dtype)
            for name, array in after.items()
        }

    def _cast_named(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name for name in arrays if name.rpartition("/")[2] in KEPT}
        return {name: array if name in kept else self._cast(array) for name, array in arrays.items()}

    def _cast(self, array: Any) -> jax.Array:
        array = jnp.asarray(array)
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(jax.dtypes.canonicalize_dtype(self.dtype)) if floating else array
