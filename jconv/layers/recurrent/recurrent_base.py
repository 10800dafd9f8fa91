"""The base class of recurrent layers: options, inputs and outputs, dropout, and the scan over time.

A subclass defines the shapes of its params and states, and one step in JAX and in NumPy. In JAX, `_project_inputs`
computes everything that does not depend on the states for all time steps at once, before the scan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_dtype
from ...functional.initialization import glorot_uniform
from ...primitive.placement import match_varying_axes
from ...reference.convolution import exact
from ...slots import put_rows, take_rows
from ...streaming.buffers import StreamOptions
from ...streaming.timing import IMMEDIATE, OutputTiming
from ..activations.activation_option import activation_shapes, check_activation
from ..base import Activation, Layer, apply_unless_empty, check_rate, map_inputs, name_layer_in_errors
from ..ragged import collapse_length, reverse_sequences, shift_sequences, unsupported_lengths
from ..types import (
    Array,
    Arrays,
    ArrayShapes,
    Key,
    OutputAndSequences,
    OutputAndState,
    Params,
    Shape,
    State,
)
from .scan import ScanOptions, States, scan, scan_numpy
from .sequence_inputs import check_input_names, inputs_by_name, shapes_by_name

DropoutFactors = tuple[jax.Array, ...]
"""Dropout masks, scaled: none, one for all gates, or one per gate."""


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """Base class of recurrent layers, with their common options.

    - `inputs` names the inputs in order: `"sequence"`, optionally all of `states` (default: zeros), and optionally
      `"mask"` (batch, time), booleans or 0 and 1. A masked step keeps the states and repeats the previous output (at
      first, the initial state). With `zero_output_for_mask` its output is zero.
    - `return_sequences` returns the outputs of all steps instead of the last one. `return_state` returns a tuple of the
      output and the final states.
    - `go_backwards` processes the sequence from the last step to the first, and returns outputs in this order.
    - `unroll` exists for compatibility with Keras. It only affects outputs of masked steps: they are zero before the
      first unmasked step, and `zero_output_for_mask` has no effect.
    - `dropout` applies to the inputs of a step and `recurrent_dropout` to its state `h`, in training only. All steps of
      a call have the same mask. As in Keras, each gate has its own mask if `recurrent_dropout` is above 0. A rate of 1
      is an error in training, because Keras's layers disagree on its meaning.

    Raises `ValueError` for `stateful=True`: layers keep no state between calls. Pass the final states as
    inputs instead.
    """

    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    zero_output_for_mask: bool = False
    unroll: bool = False
    stateful: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    inputs: tuple[str, ...] = ("sequence",)

    states: ClassVar[tuple[str, ...]] = ("h",)
    gates: ClassVar[int] = 1

    _receptive_field = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", check_input_names(self, self.inputs, self.states))
        if self.stateful:
            raise ValueError(
                f"{type(self).__name__}: stateful must be False: layers keep no state between calls; use "
                f"return_state=True and inputs={('sequence', *self.states)}"
            )
        with name_layer_in_errors(self):
            for name in ("dropout", "recurrent_dropout"):
                check_rate(name, getattr(self, name))
            for name, activation in self._activations.items():
                check_activation(name, activation)
                if activation == "glu":
                    raise ValueError(f"{name} must keep the number of channels, got 'glu'")

    def output_shape(self, input_shape: Any) -> Any:
        """The output shape; with `return_state` a tuple of output shape and state shapes."""
        sequence = self._shapes(input_shape)["sequence"]
        state = self.state_shapes_of(sequence)["h"]
        output = (sequence[0], *state) if self.return_sequences else state
        return (output, *(state for _ in self.states)) if self.return_state else output

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`kernel`, `recurrent_kernel` and, with `use_bias`, `bias`; then the params of the activations."""
        sequence = self._swap_layout_shape(self._shapes(input_shape)["sequence"])
        shapes = self._layer_param_shapes(sequence[-1])
        for option, activation in self._activations.items():
            shapes |= activation_shapes(activation, self._swap_layout_shape(self._state_shape(sequence)), option)
        return shapes

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """A Glorot-uniform kernel, an orthogonal recurrent kernel and a zero bias, as Keras.

        With `unit_forget_bias` the bias of the forget gate is one.
        """
        self.output_shape(input_shape)
        shapes = self.param_shapes(input_shape)
        key, recurrent_key = jax.random.split(key)
        params = {
            "kernel": glorot_uniform(key, shapes["kernel"]),
            "recurrent_kernel": jax.nn.initializers.orthogonal()(recurrent_key, shapes["recurrent_kernel"]),
        }
        if "bias" in shapes:
            bias = jnp.zeros(shapes["bias"])
            size = bias.shape[-1] // self.gates
            params["bias"] = bias.at[size : 2 * size].set(1) if getattr(self, "unit_forget_bias", False) else bias
        return {name: params.get(name, jnp.zeros(shape)) for name, shape in shapes.items()}, {}

    def apply(self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None) -> OutputAndState:
        """`(y, state)`; training with dropout needs a `key`. The `state` dict is empty."""
        self.check(params, state, x)
        named = {name: jnp.asarray(array) for name, array in inputs_by_name(self.inputs, x).items()}
        mask = named.pop("mask", None)
        mask = None if mask is None else mask != 0
        return self._run(params, named, mask, None, training=training, key=key), dict(state)

    def _apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, training: bool, key: Key
    ) -> OutputAndSequences:
        self.check(params, state, x)
        named = {name: jnp.asarray(array) for name, array in inputs_by_name(self.inputs, x).items()}
        sequences = inputs_by_name(self.inputs, sequences)["sequence"]
        if sequences is None:
            raise unsupported_lengths(self, "its sequence has no length")
        if sequences.packed and (self.return_state or len(self.inputs) > 1):
            raise unsupported_lengths(self, "with packed segments, states and masks are not supported")
        kept = sequences.valid(named["sequence"].shape[1])
        kept = kept & (named.pop("mask") != 0) if "mask" in named else kept
        named["sequence"] = sequences.replace_padding(named["sequence"])
        layer = self
        if self.go_backwards:
            # Run forward over the sequence reversed within its own length.
            named["sequence"], kept = (reverse_sequences(a, sequences) for a in (named["sequence"], kept))
            layer = replace(self, go_backwards=False)
        if not sequences.packed:
            y = layer._run(params, named, kept, None, training=training, key=key)
            if not self.return_sequences:
                return y, dict(state), map_inputs(lambda _: None, y)
            if not self.return_state:
                return sequences.replace_padding(y), dict(state), sequences
            return (sequences.replace_padding(y[0]), *y[1:]), dict(state), (sequences, *(None for _ in y[1:]))
        resets = sequences.begin == jnp.arange(kept.shape[1])
        y = replace(layer, return_sequences=True)._run(params, named, kept, resets, training=training, key=key)
        if self.return_sequences:
            return sequences.replace_padding(y), dict(state), sequences
        y, out = collapse_length(shift_sequences(y, sequences, sequences.counts - 1), sequences)
        return y, dict(state), out

    def _run(
        self,
        params: Params,
        named: dict[str, jax.Array],
        mask: jax.Array | None,
        resets: jax.Array | None,
        *,
        training: bool = False,
        key: Key = None,
    ) -> Any:
        """The output for the sequence and states in `named`. `mask` and `resets` (batch, time) are as in `scan`."""
        for name, array in (named | dict(params)).items():
            check_dtype("x" if name == "sequence" else name, jnp.asarray(array))
        dtype = jnp.result_type(*named.values(), *params.values())
        (y, *states), _ = self._scan_steps(params, named, mask, resets, dtype, key if training else None, training)
        return (y, *states) if self.return_state else y

    def _scan_steps(
        self,
        params: Params,
        named: dict[str, jax.Array],
        mask: jax.Array | None,
        resets: jax.Array | None,
        dtype: Any,
        key: Key = None,
        training: bool = False,
    ) -> tuple[tuple[jax.Array, ...], States]:
        """`((y, *states), step_states)`: outputs in `dtype` and the caller's layout, states as in `_step`."""
        # 16-bit floats accumulate in float32, and states are float32 between steps.
        wide = jnp.promote_types(dtype, jnp.float32)
        sequence = self._swap_layout(named["sequence"].astype(dtype))
        drops, recurrent_drops = self._draw_dropout(key, sequence.shape, wide) if training else ((), ())
        arrays = {name: jnp.asarray(array).astype(dtype) for name, array in params.items()}
        # Transpose before the projection, which multiplies the number of channels by the number of gates.
        xs = self._project_inputs(arrays, jnp.moveaxis(sequence, 1, 0), drops)
        arrays = {name: array.astype(wide) for name, array in arrays.items()}
        start = self._initial_states(named, xs)
        # Inside jax.shard_map, the carry of jax.lax.scan must vary over the same mesh axes before and after a step.
        start = match_varying_axes(*start, *xs, *arrays.values())[: len(start)]
        mask, resets = (None if a is None else jnp.moveaxis(a, 1, 0) for a in (mask, resets))
        y, states = scan(
            lambda x, s: self._step(arrays, x, s, recurrent_drops), xs, start, mask, self._scan_options, resets
        )
        y = jnp.moveaxis(y, 0, 1) if self.return_sequences else y
        return tuple(self._swap_layout(a).astype(dtype) for a in (y, *states)), states

    def output_timing(self) -> OutputTiming | tuple[OutputTiming | None, ...] | None:
        """One output per sample with `return_sequences`, else None; with `return_state` also None for each state."""
        unrolled = self.unroll and "mask" in self.inputs
        reasons = (
            (self.go_backwards, "it begins with the last sample"),
            ("h" in self.inputs, "its initial states are not a sequence"),
            (unrolled, "with unroll the output of a masked step depends on all steps before"),
        )
        for applies, reason in reasons:
            if applies:
                raise ValueError(f"{self} cannot be computed a chunk at a time: {reason}")
        timing = IMMEDIATE if self.return_sequences else None
        return (timing, *(None for _ in self.states)) if self.return_state else timing

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """Zero states, in float32 for 16-bit floats."""
        self.output_timing()
        sequence = inputs_by_name(self.inputs, x)["sequence"]
        size: Any = self._state_shape(self._swap_layout_shape(tuple(sequence.shape[1:])))
        dtype = jnp.promote_types(jnp.result_type(sequence.dtype, *params.values()), jnp.float32)
        return tuple(jnp.zeros((sequence.shape[0], *size), dtype) for _ in self.states)

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """Continue from the states in `stream`."""
        named = inputs_by_name(self.inputs, x)
        dtype = jnp.result_type(named["sequence"].dtype, *params.values())
        states = take_rows(stream, slots)

        def steps(x: Any) -> Any:
            named = inputs_by_name(self.inputs, x)
            start = dict(zip(self.states, map(self._swap_layout, states), strict=True))
            mask = named["mask"] != 0 if "mask" in named else None
            return self._scan_steps(params, {"sequence": named["sequence"], **start}, mask, None, dtype)

        if named["sequence"].shape[1]:
            (y, *shown), states = steps(x)
        else:
            shown = [self._swap_layout(array) for array in states]
            y = apply_unless_empty(lambda x: steps(x)[0][0], x) if self.return_sequences else shown[0]
        shown = [array.astype(dtype) for array in (y, *shown)]
        return tuple(shown) if self.return_state else shown[0], put_rows(stream, states, slots)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy, step by step; raises `ValueError` in training with dropout, which it does not compute."""
        self.check(params, state, x)
        if training and (self.dropout or self.recurrent_dropout):
            raise ValueError(
                f"{type(self).__name__}: the reference has no mask for training with dropout={self.dropout} and "
                f"recurrent_dropout={self.recurrent_dropout}; use 0"
            )
        named = {name: exact(array) for name, array in inputs_by_name(self.inputs, x).items()}
        mask = named.pop("mask").real != 0 if "mask" in named else None
        sequence = self._swap_layout(named.pop("sequence"))
        arrays = {name: exact(array) for name, array in params.items()}
        size: Any = self._state_shape(sequence.shape[1:])
        zeros = np.zeros((len(sequence), *size))
        start = tuple(self._swap_layout(named[name]) if name in named else zeros for name in self.states)
        y, states = scan_numpy(lambda x, s: self._numpy_step(arrays, x, s), sequence, start, mask, self._scan_options)
        return map_inputs(self._swap_layout, (y, *states) if self.return_state else y)

    @property
    def _activations(self) -> dict[str, Activation]:
        options = ("activation", "recurrent_activation")
        return {name: getattr(self, name) for name in options if hasattr(self, name)}

    def _activation_functions(self, convert: Callable[..., Any], params: Params) -> list[Callable[[Any], Any]]:
        """The activations as functions; `convert` is `jax_activation` or `numpy_activation`."""
        return [convert(activation, params, name) for name, activation in self._activations.items()]

    @property
    def _scan_options(self) -> ScanOptions:
        return ScanOptions(self.return_sequences, self.go_backwards, self.zero_output_for_mask, self.unroll)

    def _shapes(self, input_shape: Any) -> dict[str, Shape]:
        """The inputs' shapes by name; raises `ValueError` if they do not match each other."""
        return shapes_by_name(self, self.inputs, input_shape, self.state_shapes_of)

    def state_shapes_of(self, sequence: Shape) -> dict[str, Shape]:
        """The shape of each state for one example, by name."""
        shape = self._swap_layout_shape(self._state_shape(self._swap_layout_shape(sequence)))
        return dict.fromkeys(self.states, shape)

    def _draw_dropout(
        self, key: jax.Array | None, sequence: Shape, dtype: Any
    ) -> tuple[DropoutFactors, DropoutFactors]:
        """Scaled dropout masks of the sequence and of the state `h`, which are the same at all steps."""
        if not self.dropout and not self.recurrent_dropout:
            return (), ()
        for name in ("dropout", "recurrent_dropout"):
            if getattr(self, name) == 1:
                raise ValueError(f"{type(self).__name__}: {name} must be below 1 in training, got 1")
        if key is None:
            raise ValueError(
                f"{type(self).__name__}: training with dropout={self.dropout} and "
                f"recurrent_dropout={self.recurrent_dropout} needs a key, got None"
            )
        batch, _, *rest = sequence
        shapes: dict[str, Any] = {
            "dropout": (batch, *rest),
            "recurrent_dropout": (batch, *self._state_shape(sequence[1:])),
        }
        drops = []
        for own, (name, shape) in zip(jax.random.split(key), shapes.items(), strict=True):
            rate = getattr(self, name)
            kept = jax.random.bernoulli(own, 1 - rate, (self._dropout_draws, *shape)) if rate else ()
            drops.append(tuple(one.astype(dtype) / (1 - rate) for one in kept))
        return drops[0], drops[1]

    @property
    def _dropout_draws(self) -> int:
        """The number of dropout masks: one per gate or one in all."""
        return self.gates if self.recurrent_dropout else 1

    def _initial_states(self, given: Mapping[str, jax.Array], xs: tuple[jax.Array, ...]) -> States:
        """The initial states, from the inputs or zero, with the dtype of `xs`."""
        # Derived from xs, so that the carry has the same sharding before and after a step.
        zeros = jnp.zeros_like(xs[0][0])
        return tuple(
            self._swap_layout(given[name]).astype(zeros.dtype) if name in given else zeros for name in self.states
        )

    def _swap_layout(self, array: Any) -> Any:
        """Convert a sequence or state from the caller's layout to the layout of `_step`, or back (its own inverse)."""
        return array

    def _swap_layout_shape(self, shape: Shape) -> Shape:
        """`_swap_layout` of a shape."""
        return shape

    def _layer_param_shapes(self, channels: Any) -> ArrayShapes:
        """The shapes of the params, without the params of the activations."""
        raise NotImplementedError

    def _state_shape(self, sequence: Shape) -> Shape:
        """The shape of one example's state; raises `ValueError` for an unsupported sequence shape."""
        raise NotImplementedError

    def _project_inputs(self, params: Arrays, sequence: jax.Array, drops: DropoutFactors) -> tuple[jax.Array, ...]:
        """The input projections of all steps, one array (time, batch, ...) per gate, in at least float32.

        Gates are separate arrays because XLA on CPUs fuses slicing with the activations and then does not vectorize
        them: with one array the forward pass of an LSTM takes almost twice as long.
        """
        raise NotImplementedError

    def _step(self, params: Arrays, x: tuple[jax.Array, ...], states: States, drops: DropoutFactors) -> States:
        raise NotImplementedError

    def _numpy_step(self, params: Params, x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        raise NotImplementedError
