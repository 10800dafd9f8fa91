"""The bidirectional wrapper of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..base import Layer, map_inputs
from ..nesting import add_prefix, replace_options, strip_prefix, unwrap
from ..ragged import reverse_sequences
from ..types import Arrays, ArrayShapes, Key, OutputAndSequences, OutputAndState, Params, Shape, State
from .recurrent_base import Recurrent
from .sequence_inputs import check_input_names, inputs_by_name, shapes_by_name

MERGE_MODES = ("concat", "sum", "ave", "mul", None)
SIDES = ("forward", "backward")


@dataclass(frozen=True)
class Bidirectional(Layer):
    """Runs a recurrent layer forward and another one backward in time, as Keras's `Bidirectional`.

    `layer` runs forward and `backward_layer` backward (default: `layer` with the opposite `go_backwards`). The outputs
    are merged by `merge_mode`: `"concat"` along the last axis, `"sum"`, `"ave"` (mean), `"mul"`, or None for a tuple.
    Backward sequences are first put into forward order. If the layers have `return_state`, the output is a tuple:
    merged output, forward states, backward states. As in Keras, masked steps of returned sequences are zero, even
    without `zero_output_for_mask`.

    `inputs` names the inputs in order: `"sequence"`, optionally all initial states (`"forward_h"`, `"backward_h"`, and
    for LSTM `"forward_c"`, `"backward_c"`), and optionally `"mask"`. Names of arrays have the prefix `"forward/"` or
    `"backward/"`.

    Raises `ValueError` if the layers are not recurrent, run in the same direction, differ in `return_sequences` or
    `return_state`, or have several `inputs` themselves, and for an unknown `merge_mode`.

    >>> from jconv.layers import LSTM
    >>> layer = Bidirectional(LSTM(3, return_sequences=True))
    >>> layer.output_shape((10, 2))
    (10, 6)
    >>> list(layer.param_shapes((10, 2)))[2:4]
    ['forward/bias', 'backward/kernel']
    """

    layer: Layer
    merge_mode: str | None = "concat"
    _: KW_ONLY
    backward_layer: Layer | None = None
    inputs: tuple[str, ...] = ("sequence",)

    _receptive_field = None

    def __post_init__(self) -> None:
        for name in ("layer", "backward_layer"):
            layer = getattr(self, name)
            if name == "backward_layer" and layer is None:
                continue
            if not isinstance(unwrap(layer), Recurrent):
                raise ValueError(f"Bidirectional: {name} must be a recurrent layer, got {layer}")
            if layer.has_several_inputs:
                raise ValueError(
                    f"Bidirectional: {name} must have one input, the sequence; states and masks are inputs of "
                    f"Bidirectional; got {layer}"
                )
        if self.merge_mode not in MERGE_MODES:
            raise ValueError(f"Bidirectional: merge_mode must be one of {MERGE_MODES}, got {self.merge_mode!r}")
        forward, backward = self._unwrapped_layers
        for name in ("return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ValueError(
                    f"Bidirectional: {name} of layer and backward_layer must be the same, got "
                    f"{getattr(forward, name)} and {getattr(backward, name)}"
                )
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                f"Bidirectional: go_backwards of layer and backward_layer must differ, got {forward.go_backwards} twice"
            )
        object.__setattr__(self, "inputs", check_input_names(self, self.inputs, self.states))

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the initial states, in Keras's order."""
        sides = zip(SIDES, self._unwrapped_layers, strict=True)
        return tuple(f"{side}_{state}" for side, layer in sides for state in layer.states)

    @property
    def forward_and_backward(self) -> tuple[Layer, Layer]:
        """`(forward layer, backward layer)`."""
        if self.backward_layer is not None:
            return self.layer, self.backward_layer
        return self.layer, replace_options(self.layer, go_backwards=not unwrap(self.layer).go_backwards)

    @property
    def returns_sequences(self) -> bool:
        """Whether the output has all steps."""
        return self._unwrapped_layers[0].return_sequences

    def output_shape(self, input_shape: Any) -> Any:
        """The merged output shape; a tuple with `return_state` or `merge_mode=None`."""
        outputs = [layer.output_shape(shape) for _, layer, shape in self._sides(self._shapes(input_shape))]
        (forward, *states), (backward, *more) = self._as_tuples(outputs)
        concat = self.merge_mode == "concat"
        if self.merge_mode is not None and (forward[:-1] if concat else forward) != (
            backward[:-1] if concat else backward
        ):
            exception = " except for the last axis" if concat else ""
            raise ValueError(
                f"Bidirectional: merge_mode={self.merge_mode!r} needs outputs of the same shape{exception}, got "
                f"{forward} and {backward}"
            )
        merged = ((*forward[:-1], forward[-1] + backward[-1]) if concat else forward,)
        return _one_or_all([*(merged if self.merge_mode else (forward, backward)), *states, *more])

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """The arrays of both layers, with prefixes."""
        return self._map_sides(lambda layer, shape: layer.param_shapes(shape), input_shape)

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """The arrays of both layers, with prefixes."""
        return self._map_sides(lambda layer, shape: layer.state_shapes(shape), input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """The arrays of both layers, initialized with different keys."""
        self.output_shape(input_shape)
        params, state = {}, {}
        sides = self._sides(self._shapes(input_shape))
        for (side, layer, shape), own in zip(sides, jax.random.split(key), strict=True):
            drawn = layer.init(own, shape)
            params |= add_prefix(side, drawn[0])
            state |= add_prefix(side, drawn[1])
        return params, state

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`(y, state)`; the layers get different keys."""
        return self._apply_sequences(params, state, x, map_inputs(lambda _: None, x), training, key)[:2]

    def _apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, training: bool, key: Key
    ) -> OutputAndSequences:
        self.check(params, state, x)
        keys = (None, None) if key is None else jax.random.split(key)
        sequences_by_name = inputs_by_name(self.inputs, sequences)
        read = self._sides(inputs_by_name(self.inputs, x))
        outputs, after, kept = [], {}, None
        sides = self._sides(sequences_by_name)
        for (side, layer, own), (_, _, own_sequences), own_key in zip(read, sides, keys, strict=True):
            arrays = strip_prefix(side, params), strip_prefix(side, state)
            y, own_state, out = layer.apply_sequences(*arrays, own, own_sequences, training=training, key=own_key)
            kept = out[0] if isinstance(out, tuple) else out
            if side == "backward" and self.returns_sequences and kept is not None:
                # `_merge` flips the complete length, but each sequence must be reversed within its own length.
                first, *states = self._as_tuples([y])[0]
                turned = jnp.flip(reverse_sequences(first, sequences_by_name["sequence"]), 1)
                y = (turned, *states) if self._unwrapped_layers[0].return_state else turned
            outputs.append(y)
            after |= add_prefix(side, own_state)
        y = self._merge(outputs, jnp)
        if not isinstance(y, tuple):
            return y, after, kept
        first = 1 if self.merge_mode else 2
        return y, after, (*[kept] * first, *[None] * (len(y) - first))

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy."""
        self.check(params, state, x)
        outputs = [
            layer.reference(strip_prefix(side, params), strip_prefix(side, state), read, training=training)
            for side, layer, read in self._sides(inputs_by_name(self.inputs, x))
        ]
        return self._merge(outputs, np)

    def flops(self, input_shape: Any) -> int:
        """The sum of both layers."""
        return sum(layer.flops(shape) for _, layer, shape in self._sides(self._shapes(input_shape)))

    def __str__(self) -> str:
        # Keras files always contain the backward layer, even if it is the default.
        mirrored = (
            self.backward_layer is not None
            and self.backward_layer == replace(self, backward_layer=None).forward_and_backward[1]
        )
        return super(Bidirectional, replace(self, backward_layer=None) if mirrored else self).__str__()

    @property
    def _unwrapped_layers(self) -> tuple[Recurrent, Recurrent]:
        forward, backward = self.forward_and_backward
        return unwrap(forward), unwrap(backward)

    def _shapes(self, input_shape: Any) -> dict[str, Shape]:
        def states(sequence: Shape) -> dict[str, Shape]:
            sides = zip(SIDES, self._unwrapped_layers, strict=True)
            return {
                f"{side}_{state}": shape
                for side, layer in sides
                for state, shape in layer.state_shapes_of(sequence).items()
            }

        return shapes_by_name(self, self.inputs, input_shape, states)

    def _sides(self, named: Mapping[str, Any]) -> list[tuple[str, Layer, Any]]:
        """`(side, layer, inputs)` for both sides; `named` has the inputs or their shapes by name."""
        sides = []
        for side, layer in zip(SIDES, self.forward_and_backward, strict=True):
            own = {"sequence": named["sequence"], **states_of_side(side, named)}
            own |= {"mask": named["mask"]} if "mask" in named else {}
            options = {"inputs": tuple(own), "zero_output_for_mask": unwrap(layer).return_sequences}
            sides.append((side, replace_options(layer, **options), _one_or_all(list(own.values()))))
        return sides

    def _map_sides(self, shapes: Callable[[Layer, Any], dict[str, Any]], input_shape: Any) -> dict[str, Any]:
        sides = self._sides(self._shapes(input_shape))
        return {
            name: value
            for side, layer, shape in sides
            for name, value in add_prefix(side, shapes(layer, shape)).items()
        }

    def _as_tuples(self, outputs: list[Any]) -> list[Any]:
        """The outputs of each layer, or their shapes, as a tuple."""
        return [output if self._unwrapped_layers[0].return_state else (output,) for output in outputs]

    def _merge(self, outputs: list[Any], library: Any) -> Any:
        (forward, *states), (backward, *more) = self._as_tuples(outputs)
        if self.returns_sequences:
            backward = library.flip(backward, 1)
        if self.merge_mode is None:
            return (forward, backward, *states, *more)
        if self.merge_mode == "concat":
            y = library.concatenate([forward, backward], -1)
        elif self.merge_mode == "mul":
            y = forward * backward
        else:
            y = forward + backward
        return _one_or_all([y / 2 if self.merge_mode == "ave" else y, *states, *more])


def states_of_side(side: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """The initial states of one side, by their names in its layer."""
    start = f"{side}_"
    return {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}


def _one_or_all(values: list[Any]) -> Any:
    return tuple(values) if len(values) > 1 else values[0]
