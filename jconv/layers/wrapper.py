"""Wrappers that keep the names of the wrapped layer's arrays: `Frozen`, `InMode`, `InDtype`.

They can be nested in any order, around layers with any number of inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import DTYPES
from ..streaming.buffers import StreamOptions
from ..streaming.timing import OutputTiming
from .base import Layer, map_inputs
from .types import Arrays, ArrayShapes, Key, OutputAndSequences, OutputAndState, Params, ReceptiveField, State


@dataclass(frozen=True)
class BaseWrapper(Layer):
    """Base class of layers around another layer, whose methods call the same method of `layer`.

    A subclass implements `param_shapes`, `init`, `apply_sequences` and `reference`, and overrides some of the others.
    """

    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ValueError(f"{type(self).__name__}: layer must be a layer, got {self.layer!r}")
        super().__post_init__()

    @property
    def has_several_inputs(self) -> bool:
        """Same as for the wrapped layer."""
        return self.layer.has_several_inputs

    def output_shape(self, input_shape: Any) -> Any:
        """Same as for the wrapped layer."""
        return self.layer.output_shape(input_shape)

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`apply_sequences` without lengths and segment ids."""
        return self.apply_sequences(params, state, x, map_inputs(lambda _: None, x), training=training, key=key)[:2]

    def flops(self, input_shape: Any) -> int:
        """Same as for the wrapped layer."""
        return self.layer.flops(input_shape)

    def window(self) -> ReceptiveField | None:
        """Same as for the wrapped layer."""
        return self.layer.window()

    def output_timing(self) -> OutputTiming | tuple[OutputTiming | None, ...] | None:
        """Same as for the wrapped layer."""
        return self.layer.output_timing()

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """Same as for the wrapped layer."""
        return self.layer.stream_init(*self._inner_arrays(params, state, x), x, options)

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """Same as for the wrapped layer."""
        return self.layer.stream_step(*self._inner_arrays(params, state, x), stream, x, last=last, slots=slots)

    def _inner_arrays(self, params: Params, state: State, x: Any) -> tuple[Any, Any]:
        """The params and state of `layer`."""
        return params, state


@dataclass(frozen=True)
class Wrapper(BaseWrapper):
    """Base class of wrappers that keep the names of arrays, and which `unwrap` removes."""

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """Same as for the wrapped layer."""
        return self.layer.param_shapes(input_shape)

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """Same as for the wrapped layer."""
        return self.layer.state_shapes(input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Same as for the wrapped layer."""
        return self.layer.init(key, input_shape)

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """Same as for the wrapped layer."""
        return self.layer.apply_sequences(params, state, x, sequences, training=training, key=key)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """Same as for the wrapped layer."""
        return self.layer.reference(params, state, x, training=training)


@dataclass(frozen=True)
class Frozen(Wrapper):
    """A layer that is not trained, as with `trainable=False` in Keras: all its arrays are in `state`, none in `params`.

    As in Keras, a `BatchNormalization` in it normalizes by its moving averages in training too, and does not update
    them. In all other layers training has its usual effect: dropout is active. Raises `ValueError` if `layer` is not a
    layer.

    >>> from jconv.layers import Dense
    >>> params, state = Frozen(Dense(5)).init(jax.random.key(0), (3,))
    >>> params, list(state)
    ({}, ['kernel', 'bias'])
    """

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """Empty."""
        return {}

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """All arrays of the wrapped layer, params first."""
        return self.layer.param_shapes(input_shape) | self.layer.state_shapes(input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """`({}, state)`, with all arrays of the wrapped layer's `init`."""
        params, state = self.layer.init(key, input_shape)
        return {}, params | state

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """Apply the wrapped layer, with frozen batch normalizations."""
        self.check(params, state, x)
        own, rest = self._inner_arrays(params, state, x)
        layer = _freeze_batch_normalization(self.layer)
        y, after, sequences = layer.apply_sequences(own, rest, x, sequences, training=training, key=key)
        return y, {**own, **after}, sequences

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy."""
        self.check(params, state, x)
        inner = self._inner_arrays(params, state, x)
        return _freeze_batch_normalization(self.layer).reference(*inner, x, training=training)

    def __str__(self) -> str:
        return f"{self.layer} frozen"

    def _inner_arrays(self, params: Params, state: State, x: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        names = self.layer.param_shapes(map_inputs(lambda a: tuple(np.shape(a))[1:], x))
        return {name: state[name] for name in names}, {name: state[name] for name in state if name not in names}


@dataclass(frozen=True)
class InMode(Wrapper):
    """A layer with a fixed training mode, as if it were called with `training=True` or `training=False` in Keras.

    With `training=True` dropout is active also outside training, where `apply` then needs a key (Monte Carlo dropout).
    Raises `ValueError` if `layer` is not a layer.

    >>> from jconv.layers import Dropout
    >>> y, _ = InMode(Dropout(0.5), True).apply({}, {}, jnp.ones((1, 50)), key=jax.random.key(0))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    training: bool

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """Apply the wrapped layer with the wrapper's `training`."""
        return self.layer.apply_sequences(params, state, x, sequences, training=self.training, key=key)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """Apply the wrapped layer with the wrapper's `training`."""
        return self.layer.reference(params, state, x, training=self.training)

    def output_timing(self) -> OutputTiming | tuple[OutputTiming | None, ...] | None:
        """Same as for the wrapped layer; raises `ValueError` if `training` is True."""
        if self.training:
            raise ValueError(f"{self} cannot be computed a chunk at a time")
        return self.layer.output_timing()

    def __str__(self) -> str:
        return f"{self.layer} {'always' if self.training else 'never'} in training"


def _freeze_batch_normalization(value: Any) -> Any:
    """`value` with each `BatchNormalization` in it fixed to inference mode."""
    if isinstance(value, tuple):
        return tuple(_freeze_batch_normalization(v) for v in value)
    if isinstance(value, Layer) and value._infers_when_frozen:
        return InMode(value, False)
    if not isinstance(value, Layer):
        return value
    inner = {field.name: getattr(value, field.name) for field in fields(value)}
    frozen = {name: _freeze_batch_normalization(v) for name, v in inner.items() if isinstance(v, (Layer, tuple))}
    return replace(value, **frozen) if any(frozen[name] != inner[name] for name in frozen) else value


# Arrays of normalization layers, which Keras does not cast under any dtype policy.
NOT_CAST = ("gamma", "beta", "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev")


@dataclass(frozen=True)
class InDtype(Wrapper):
    """A layer that computes in its own dtype, as with a mixed precision policy of Keras.

    Floating-point inputs and arrays are cast to `dtype`: `"bfloat16"`, `"float16"`, `"float32"` or `"float64"`. The
    outputs have this dtype; state keeps its own. As in Keras, the arrays of normalization layers (`gamma`, `beta`,
    moving averages) are not cast. `reference` ignores `dtype`. Without JAX's 64-bit mode, `"float64"` means float32.
    Raises `ValueError` for another dtype and if `layer` is not a layer.

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

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """Apply the wrapped layer in `dtype`; state keeps its dtype."""
        own, rest, x = self._cast_all(params, state, x)
        y, after, sequences = self.layer.apply_sequences(own, rest, x, sequences, training=training, key=key)
        return map_inputs(self._cast, y), self._cast_back(after, rest, state), sequences

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """Same as for the wrapped layer, computed in `dtype`."""
        own, rest, cast = jax.eval_shape(self._cast_all, params, state, x)
        return self.layer.stream_init(own, rest, cast, options)

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """Same as for the wrapped layer, computed in `dtype`."""
        own, rest, x = self._cast_all(params, state, x)
        y, stream = self.layer.stream_step(own, rest, stream, x, last=last, slots=slots)
        return map_inputs(self._cast, y), stream

    def __str__(self) -> str:
        return f"{self.layer} in {self.dtype}"

    def _cast_all(self, params: Params, state: State, x: Any) -> tuple[Any, Any, Any]:
        return self._cast_named(params), self._cast_named(state), map_inputs(self._cast, x)

    def _cast_back(self, after: Mapping[str, Any], cast: Mapping[str, Any], state: State) -> dict[str, Any]:
        """The new state in its original dtypes. Arrays that the layer did not change are not rounded."""
        return {
            name: state[name] if array is cast[name] else array.astype(jnp.asarray(state[name]).dtype)
            for name, array in after.items()
        }

    def _cast_named(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: array if name.rpartition("/")[2] in NOT_CAST else self._cast(array) for name, array in arrays.items()
        }

    def _cast(self, array: Any) -> jax.Array:
        array = jnp.asarray(array)
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(jax.dtypes.canonicalize_dtype(self.dtype)) if floating else array
