"""The wrapper for channels-first inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..reference.activations import ALONG_LAST
from ..streaming.buffers import StreamOptions
from ..streaming.timing import OutputTiming
from .activations.activation import Activation
from .activations.parametric_activation import PReLU
from .base import Layer, map_inputs, map_shapes
from .convolution import Convolution
from .nesting import replace_options, unwrap
from .ragged import not_none, unsupported_lengths
from .types import Arrays, ArrayShapes, Key, OutputAndSequences, Params, ReceptiveField, State
from .wrapper import Wrapper


@dataclass(frozen=True)
class ChannelsFirst(Wrapper):
    """A layer on inputs (batch, channels, length), as `data_format="channels_first"` in Keras.

    Inputs with at least three axes are transposed to channels-last, and outputs back. Params and state are the same as
    for the wrapped layer. As in Keras, the activation of a convolution follows the transpose: activations along the
    last axis, such as `"softmax"`, are computed over the length. Raises `ValueError` if `layer` is not a layer.

    >>> from jconv.layers import Conv1D, Flatten
    >>> ChannelsFirst(Conv1D(8, 3)).output_shape((4, 10))
    (8, 8)
    >>> ChannelsFirst(Flatten()).apply({}, {}, jnp.array([[[1, 2], [3, 4]]]))[0].tolist()
    [[1, 3, 2, 4]]
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        after = self._layer_and_activation[1]
        if isinstance(after, PReLU):
            # Its alpha would be channels-first, too.
            raise ValueError(f"ChannelsFirst: the activation of a convolution must have no arrays, got {after}")

    def output_shape(self, input_shape: Any) -> Any:
        """The wrapped layer's output shape in channels-first order."""
        layer, after = self._layer_and_activation
        shape = map_shapes(_channels_first, layer.output_shape(map_shapes(_channels_last, input_shape)))
        return shape if after is None else after.output_shape(shape)

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """Same as for the wrapped layer on channels-last inputs."""
        return self.layer.param_shapes(map_shapes(_channels_last, input_shape))

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """Same as for the wrapped layer on channels-last inputs."""
        return self.layer.state_shapes(map_shapes(_channels_last, input_shape))

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Same as for the wrapped layer on channels-last inputs."""
        return self._layer_and_activation[0].init(key, map_shapes(_channels_last, input_shape))

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """Transpose, apply the wrapped layer, transpose back, apply the activation.

        Raises `ValueError` for variable-length inputs, whose length must be axis 1.
        """
        if not_none(sequences):
            raise unsupported_lengths(self, "the length must be the first axis after the batch")
        x = map_inputs(lambda a: _move_axis(jnp, jnp.asarray(a), 1, -1), x)
        layer, after = self._layer_and_activation
        y, state = layer.apply(params, state, x, training=training, key=key)
        y = map_inputs(lambda a: _move_axis(jnp, a, -1, 1), y)
        y = y if after is None else after.apply({}, {}, y)[0]
        return y, state, map_inputs(lambda _: None, y)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy."""
        x = map_inputs(lambda a: _move_axis(np, np.asarray(a), 1, -1), x)
        layer, after = self._layer_and_activation
        y = layer.reference(params, state, x, training=training)
        y = map_inputs(lambda a: _move_axis(np, a, -1, 1), y)
        return y if after is None else after.reference({}, {}, y)

    def flops(self, input_shape: Any) -> int:
        """Same as for the wrapped layer on channels-last inputs."""
        return self.layer.flops(map_shapes(_channels_last, input_shape))

    def window(self) -> ReceptiveField | None:
        """Same as for the wrapped layer; None if the activation is over the length."""
        return self.layer.window() if self._layer_and_activation[1] is None else None

    def output_timing(self) -> OutputTiming | tuple[OutputTiming | None, ...] | None:
        """Raises `ValueError`: chunks have the shape (batch, samples, channels).

        `jconv.model.channels_first.length_first` converts a channels-first network, which can then be streamed.
        """
        raise ValueError(
            f"{self} cannot be computed a chunk at a time: it needs the complete length, the first axis of its input"
        )

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """Raises `ValueError`; see `output_timing`."""
        self.output_timing()

    def __str__(self) -> str:
        return f"{self.layer} channels first"

    @property
    def _layer_and_activation(self) -> tuple[Layer, Layer | None]:
        """The layer without an activation that must follow the transpose, and this activation or None."""
        inner = unwrap(self.layer)
        activation = inner.activation if isinstance(inner, Convolution) else None
        if isinstance(activation, Layer):
            return replace_options(self.layer, activation=None), activation
        if activation not in ALONG_LAST:
            return self.layer, None
        return replace_options(self.layer, activation=None), Activation(activation)


def _channels_last(shape: Any) -> Any:
    return (*shape[1:], shape[0]) if len(shape) > 1 else tuple(shape)


def _channels_first(shape: Any) -> Any:
    return (shape[-1], *shape[:-1]) if len(shape) > 1 else tuple(shape)


def _move_axis(library: Any, array: Any, source: int, target: int) -> Any:
    return library.moveaxis(array, source, target) if array.ndim > 2 else array
