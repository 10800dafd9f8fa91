"""A wrapper that applies a layer to every time step."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...primitive.placement import match_varying_axes
from ..base import Layer, is_tuple_of_shapes, map_inputs, map_shapes
from ..nesting import add_prefix, replace_options, strip_prefix, unwrap
from ..ragged import unsupported_lengths
from ..types import Arrays, ArrayShapes, Key, OutputAndSequences, OutputAndState, Params, State
from .sequence_inputs import check_input_names


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """Applies `layer` to every time step, as Keras's `TimeDistributed`: (time, ...) to (time, ...).

    All steps share the layer's arrays, whose names have the prefix `"layer/"`. As in Keras, each step is a separate
    call: in training, a batch normalization uses the statistics of one step and updates its averages step by step, and
    dropout has new random numbers at each step. If the layer has several inputs or outputs, each has the time axis.

    With `"mask"` in `inputs`, a layer that accepts a mask gets the step's part of a mask (batch, time, ...). For a mask
    (batch, time) this is one value per example; a layer that does not support such a mask ignores it (an LSTM, for
    which Keras raises an error).

    Raises `ValueError` if `layer` is not a layer, and for `"mask"` around a layer with several inputs: there the mask
    is one of these inputs.

    >>> from jconv.layers import Conv1D, Dense
    >>> TimeDistributed(Conv1D(8, 3)).output_shape((None, 20, 1))
    (None, 18, 8)
    >>> TimeDistributed(Dense(5)).param_shapes((7, 4))
    {'layer/kernel': (4, 5), 'layer/bias': (5,)}
    """

    layer: Layer
    _: KW_ONLY
    inputs: tuple[str, ...] = ("sequence",)

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ValueError(f"TimeDistributed: layer must be a layer, got {self.layer!r}")
        object.__setattr__(self, "inputs", check_input_names(self, self.inputs, ()))
        if self.layer.has_several_inputs and len(self.inputs) > 1:
            raise ValueError(f"TimeDistributed: inputs must be the sequence alone around {self.layer}")

    @property
    def has_several_inputs(self) -> bool:
        """Whether the layer has several inputs or there is a mask."""
        return self.layer.has_several_inputs or len(self.inputs) > 1

    def output_shape(self, input_shape: Any) -> Any:
        """The output shape of the layer, with the number of steps first."""
        layer, shape, length = self._per_step(input_shape)
        return map_shapes(lambda one: (length, *one), layer.output_shape(shape))

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """Same as for `layer`, with the prefix `"layer/"`."""
        layer, shape, _ = self._per_step(input_shape)
        return add_prefix("layer", layer.param_shapes(shape))

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """Same as for `layer`, with the prefix `"layer/"`."""
        layer, shape, _ = self._per_step(input_shape)
        return add_prefix("layer", layer.state_shapes(shape))

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """The arrays of `layer`, with the prefix `"layer/"`."""
        layer, shape, _ = self._per_step(input_shape)
        params, state = layer.init(key, shape)
        return add_prefix("layer", params), add_prefix("layer", state)

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`(y, state)`; in training each step has its own key, and the state is passed from step to step."""
        self.check(params, state, x)
        layer, x, length = self._call_inputs(map_inputs(jnp.asarray, x))
        own, rest = strip_prefix("layer", params), strip_prefix("layer", state)
        keys = None if key is None else jax.random.split(key, length)

        def apply_step(state: Any, now: Any) -> tuple[Any, Any]:
            y, state = layer.apply(own, state, now[0], training=training, key=now[1])
            return state, y

        if not (training and rest):
            # No state is passed between steps, so all can be computed at once.
            y = jax.vmap(lambda *now: apply_step(rest, now)[1], (1, None if keys is None else 0), 1)(x, keys)
            return y, dict(state)
        x = map_inputs(lambda a: jnp.moveaxis(a, 1, 0), x)
        rest = {name: jnp.asarray(array) for name, array in rest.items()}
        # Inside jax.shard_map, the carry of jax.lax.scan must vary over the same mesh axes before and after a step.
        varying = match_varying_axes(*rest.values(), *jax.tree.leaves(x))
        rest, y = jax.lax.scan(apply_step, dict(zip(rest, varying, strict=False)), (x, keys))
        return map_inputs(lambda a: jnp.moveaxis(a, 0, 1), y), add_prefix("layer", rest)

    def _apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, training: bool, key: Key
    ) -> OutputAndSequences:
        if training and state:
            raise unsupported_lengths(
                self, "in training the state of its layer is passed from step to step of the complete batch"
            )
        return super()._apply_sequences(params, state, x, sequences, training, key)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy, step by step."""
        self.check(params, state, x)
        layer, x, length = self._call_inputs(map_inputs(np.asarray, x))
        own = strip_prefix("layer", params), strip_prefix("layer", state)
        ys = [
            layer.reference(*own, map_inputs(lambda a, time=time: a[:, time], x), training=training)
            for time in range(length)
        ]
        if isinstance(ys[0], tuple):
            return tuple(np.stack(outputs, axis=1) for outputs in zip(*ys, strict=True))
        return np.stack(ys, axis=1)

    def flops(self, input_shape: Any) -> int:
        """The operations of `layer`, times the number of steps."""
        layer, shape, length = self._per_step(input_shape)
        if length is None:
            raise ValueError(f"TimeDistributed needs every size known to count operations, got shape {input_shape}")
        return length * layer.flops(shape)

    def _call_inputs(self, x: Any) -> tuple[Layer, Any, int]:
        """The layer as called at each step, its inputs (batch, time, ...), and the number of steps."""
        layer, kept, length = self._select_inputs(map_inputs(lambda a: a.shape[1:], x))
        return layer, x if kept is None else x[kept], length

    def _per_step(self, input_shape: Any) -> tuple[Layer, Any, Any]:
        """The layer as called at each step, its input shape without the time axis, and the number of steps."""
        layer, kept, length = self._select_inputs(input_shape)
        return (
            layer,
            map_shapes(lambda shape: tuple(shape[1:]), input_shape if kept is None else input_shape[kept]),
            length,
        )

    def _select_inputs(self, input_shape: Any) -> tuple[Layer, int | None, Any]:
        """`(layer, index, steps)`: the layer as called, the index of its only input or None for all, the step count."""
        shapes = tuple(input_shape) if is_tuple_of_shapes(input_shape) else (input_shape,)
        if self.has_several_inputs != is_tuple_of_shapes(input_shape) or (
            len(self.inputs) > 1 and len(shapes) != len(self.inputs)
        ):
            one = "a tuple of shapes, one for each input" if self.has_several_inputs else "one shape"
            raise ValueError(f"TimeDistributed needs {one}, got {input_shape}")
        lengths = {shape[0] if shape else 0 for shape in shapes} - {None}
        sequence = self.inputs.index("sequence")
        if len(lengths) > 1 or (not self.layer.has_several_inputs and len(shapes[sequence]) < 2):
            raise ValueError(
                f"TimeDistributed needs inputs of shape (time, ...) after the batch axis, all with the same time, "
                f"got {input_shape}"
            )
        length = next(iter(lengths), None)
        if len(self.inputs) == 1:
            return self.layer, None, length
        layer = self._with_mask(tuple(shape[1:] for shape in shapes))
        return (self.layer, sequence, length) if layer is None else (layer, None, length)

    def _with_mask(self, shapes: tuple[Any, ...]) -> Layer | None:
        """The layer with a mask among its inputs, or None if it does not accept a mask of this shape."""
        own = getattr(unwrap(self.layer), "inputs", None)
        if own is None:
            return None
        names = tuple(name if name == "mask" else own[0] for name in self.inputs)
        try:
            layer = replace_options(self.layer, inputs=names)
        except ValueError:
            return None
        if all(shapes):
            return layer
        try:
            layer.output_shape(shapes)
        except ValueError:
            return None
        return layer
