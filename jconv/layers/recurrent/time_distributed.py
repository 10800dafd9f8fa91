"""The same layer at every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...placement import vary_alike
from ..base import Arrays, Layer, is_tuple_of_shapes, map_inputs, map_shapes
from ..nesting import add_prefix, replace_options, strip_prefix, unwrap
from ..ragged import not_none, unsupported_lengths
from ..sequence_inputs import check_input_names


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """Keras's `TimeDistributed`: `layer`, with the same arrays, on what there is at each time.

    (time, ...) to (time, ...), where the dots are what the layer takes and gives. Each time is a call of its own, as in
    Keras: in training a batch normalization has the statistics of each time and updates its averages time after time,
    a dropout draws for each. `layer` may be any layer; one that reads several inputs reads each at the time, and one
    with several outputs gives each with the time. Arrays are `"layer/..."`.

    `inputs` may also name a `"mask"`, (batch, time, ...), of which a layer that takes one has what there is at the
    time. Of a mask (batch, time) that is a number for each example; where the layer can do nothing with it, as an
    LSTM, on which Keras then fails, the mask is passed over.

    Raises `ValueError` for something that is no layer, and for a mask beside a layer that reads several inputs, which
    name the mask themselves.

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
            raise ValueError(f"TimeDistributed: inputs must be of the sequence alone around {self.layer}")

    @property
    def has_several_inputs(self) -> bool:
        """Whether the layer merges or a mask is read."""
        return self.layer.has_several_inputs or len(self.inputs) > 1

    def output_shape(self, input_shape: Any) -> Any:
        """The layer's, with the time in front of each."""
        layer, shape, length = self._per_step(input_shape)
        return map_shapes(lambda one: (length, *one), layer.output_shape(shape))

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The layer's, with a prefix."""
        layer, shape, _ = self._per_step(input_shape)
        return add_prefix("layer", layer.param_shapes(shape))

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The layer's, with a prefix."""
        layer, shape, _ = self._per_step(input_shape)
        return add_prefix("layer", layer.state_shapes(shape))

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """As the layer draws them."""
        layer, shape, _ = self._per_step(input_shape)
        params, state = layer.init(key, shape)
        return add_prefix("layer", params), add_prefix("layer", state)

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """`(y, state)`; in training each time has a key of its own, and the state goes from time to time."""
        self.check(params, state, x)
        layer, x, length = self._call_inputs(map_inputs(jnp.asarray, x))
        own, rest = strip_prefix("layer", params), strip_prefix("layer", state)
        keys = None if key is None else jax.random.split(key, length)

        def apply_step(state: Any, now: Any) -> tuple[Any, Any]:
            y, state = layer.apply(own, state, now[0], training=training, key=now[1])
            return state, y

        if not (training and rest):
            # Nothing goes from time to time, so all are computed at once.
            y = jax.vmap(lambda *now: apply_step(rest, now)[1], (1, None if keys is None else 0), 1)(x, keys)
            return y, dict(state)
        x = map_inputs(lambda a: jnp.moveaxis(a, 1, 0), x)
        rest = {name: jnp.asarray(array) for name, array in rest.items()}
        # A carry of jax.lax.scan must vary over the same mesh axes of jax.shard_map before and after.
        varying = vary_alike(*rest.values(), *jax.tree.leaves(x))
        rest, y = jax.lax.scan(apply_step, dict(zip(rest, varying, strict=False)), (x, keys))
        return map_inputs(lambda a: jnp.moveaxis(a, 0, 1), y), add_prefix("layer", rest)

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
        """See `Layer.apply_sequences`."""
        if not_none(sequences) and training and state:
            raise unsupported_lengths(
                self, "in training its layer has a state that goes from time to time of the whole batch"
            )
        return super().apply_sequences(params, state, x, sequences, training=training, key=key)

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """The same in NumPy, time by time."""
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
        """The layer's, at every time."""
        layer, shape, length = self._per_step(input_shape)
        if length is None:
            raise ValueError(f"TimeDistributed needs every size known to count operations, got shape {input_shape}")
        return length * layer.flops(shape)

    def _call_inputs(self, x: Any) -> tuple[Layer, Any, int]:
        """The layer as it is called at each time, its inputs with batch and time, and the number of times."""
        layer, kept, length = self._select_inputs(map_inputs(lambda a: a.shape[1:], x))
        return layer, x if kept is None else x[kept], length

    def _per_step(self, input_shape: Any) -> tuple[Layer, Any, Any]:
        """The same of shapes: the layer, its input shape, and the number of times."""
        layer, kept, length = self._select_inputs(input_shape)
        return (
            layer,
            map_shapes(lambda shape: tuple(shape[1:]), input_shape if kept is None else input_shape[kept]),
            length,
        )

    def _select_inputs(self, input_shape: Any) -> tuple[Layer, int | None, Any]:
        """The layer with the inputs that it has at a time, the one input that it reads where it does not read all."""
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
                f"TimeDistributed needs inputs of shape (time, ...) after the batch axis, all of one time, "
                f"got {input_shape}"
            )
        length = next(iter(lengths), None)
        if len(self.inputs) == 1:
            return self.layer, None, length
        layer = self._with_mask(tuple(shape[1:] for shape in shapes))
        return (self.layer, sequence, length) if layer is None else (layer, None, length)

    def _with_mask(self, shapes: tuple[Any, ...]) -> Layer | None:
        """The layer with a mask among its inputs, of these shapes, or None for one that takes none."""
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
