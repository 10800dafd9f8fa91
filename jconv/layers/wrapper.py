"""Layers around a layer that leave its meaning and the names of its arrays: frozen, in a type; for channels_first.py.

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
from ..history import Form
from ..pace import Pace
from .base import Arrays, Layer, ReceptiveField, map_inputs
from .normalization.normalization import BatchNormalization


@dataclass(frozen=True)
class Wrapper(Layer):
    """The inner layer in every respect; what differs, a subclass says."""

    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ValueError(f"{type(self).__name__}: layer must be a layer, got {self.layer!r}")

    @property
    def has_several_inputs(self) -> bool:
        """As the inner layer."""
        return self.layer.has_several_inputs

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
        """The inner layer's."""
        return self.layer.apply_sequences(params, state, x, sequences, training=training, key=key)

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The inner layer's."""
        return self.layer.reference(params, state, x, training=training)

    def flops(self, input_shape: Any) -> int:
        """The inner layer's."""
        return self.layer.flops(input_shape)

    def window(self) -> ReceptiveField | None:
        """The inner layer's."""
        return self.layer.window()

    def pace(self) -> Pace | tuple[Pace | None, ...] | None:
        """The inner layer's."""
        return self.layer.pace()

    def stream_init(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, form: Form) -> Any:
        """The inner layer's."""
        return self.layer.stream_init(params, state, x, form)

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
        """The inner layer's."""
        return self.layer.stream_step(params, state, stream, x, last=last, slots=slots)


@dataclass(frozen=True)
class Frozen(Wrapper):
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
        own, rest = self._check_and_split(params, state, x)
        y, after = _freeze_batch_normalization(self.layer).apply(own, rest, x, training=training, key=key)
        return y, {**own, **after}

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
        """The inner layer's; see the class for training."""
        own, rest = self._check_and_split(params, state, x)
        y, after, sequences = _freeze_batch_normalization(self.layer).apply_sequences(
            own, rest, x, sequences, training=training, key=key
        )
        return y, {**own, **after}, sequences

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The same in NumPy."""
        own, rest = self._check_and_split(params, state, x)
        return _freeze_batch_normalization(self.layer).reference(own, rest, x, training=training)

    def stream_init(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, form: Form) -> Any:
        """The inner layer's."""
        return self.layer.stream_init(*self._split_arrays(state, x), x, form)

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
        """The inner layer's."""
        return self.layer.stream_step(*self._split_arrays(state, x), stream, x, last=last, slots=slots)

    def __str__(self) -> str:
        return f"{self.layer} frozen"

    def _check_and_split(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The inner layer's params and state, of arrays that fit it."""
        self.check(params, state, x)
        return self._split_arrays(state, x)

    def _split_arrays(self, state: Mapping[str, Any], x: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        names = self.layer.param_shapes(map_inputs(lambda a: tuple(np.shape(a))[1:], x))
        return {name: state[name] for name in names}, {name: state[name] for name in state if name not in names}


@dataclass(frozen=True)
class InMode(Wrapper):
    """A layer that always computes as in training, or never does: what `training=` in a call means in Keras 2.

    With `training=True` a dropout also drops where the model is applied outside of training, which then needs a key
    (Monte-Carlo dropout). Raises `ValueError` for something that is no layer.

    >>> from jconv.layers import Dropout
    >>> y, _ = InMode(Dropout(0.5), True).apply({}, {}, jnp.ones((1, 50)), key=jax.random.key(0))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    training: bool

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The inner layer's in its mode."""
        return self.layer.apply(params, state, x, training=self.training, key=key)

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
        """The inner layer's in its mode."""
        return self.layer.apply_sequences(params, state, x, sequences, training=self.training, key=key)

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The inner layer's in its mode."""
        return self.layer.reference(params, state, x, training=self.training)

    def pace(self) -> Pace | tuple[Pace | None, ...] | None:
        """The inner layer's; raises `ValueError` for a layer that always trains."""
        if self.training:
            raise ValueError(f"{self} cannot be computed a chunk at a time")
        return self.layer.pace()

    def __str__(self) -> str:
        return f"{self.layer} {'always' if self.training else 'never'} in training"


def _freeze_batch_normalization(value: Any) -> Any:
    """A layer, or a tuple of some, with every batch normalization in it at rest."""
    if isinstance(value, tuple):
        return tuple(_freeze_batch_normalization(v) for v in value)
    if isinstance(value, BatchNormalization):
        return InMode(value, False)
    if not isinstance(value, Layer):
        return value
    inner = {field.name: getattr(value, field.name) for field in fields(value)}
    resting = {name: _freeze_batch_normalization(v) for name, v in inner.items() if isinstance(v, (Layer, tuple))}
    return replace(value, **resting) if any(resting[name] != inner[name] for name in resting) else value


# The arrays of the normalizations, which Keras keeps in their own type under every policy.
NOT_CAST = ("gamma", "beta", "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev")


@dataclass(frozen=True)
class InDtype(Wrapper):
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
        """The inner layer's in the type."""
        own, rest = self._cast_named(params), self._cast_named(state)
        x = map_inputs(self._cast, x)
        y, after, sequences = self.layer.apply_sequences(own, rest, x, sequences, training=training, key=key)
        return map_inputs(self._cast, y), self._cast_back(after, rest, state), sequences

    def stream_init(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, form: Form) -> Any:
        """The inner layer's in the type."""
        own, rest, cast = jax.eval_shape(self._cast_all, params, state, x)
        return self.layer.stream_init(own, rest, cast, form)

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
        """The inner layer's in the type."""
        own, rest, x = self._cast_all(params, state, x)
        y, stream = self.layer.stream_step(own, rest, stream, x, last=last, slots=slots)
        return map_inputs(self._cast, y), stream

    def __str__(self) -> str:
        return f"{self.layer} in {self.dtype}"

    def _cast_all(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any) -> tuple[Any, Any, Any]:
        return self._cast_named(params), self._cast_named(state), map_inputs(self._cast, x)

    def _cast_back(self, after: Mapping[str, Any], cast: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
        """The new state in its own type; what was only cast there and back is not rounded by it."""
        return {
            name: state[name] if array is cast[name] else array.astype(jnp.asarray(state[name]).dtype)
            for name, array in after.items()
        }

    def _cast_named(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name for name in arrays if name.rpartition("/")[2] in NOT_CAST}
        return {name: array if name in kept else self._cast(array) for name, array in arrays.items()}

    def _cast(self, array: Any) -> jax.Array:
        array = jnp.asarray(array)
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(jax.dtypes.canonicalize_dtype(self.dtype)) if floating else array
