"""The base class of all layers, and helpers to check shapes and options.

A layer is a frozen dataclass of options. It holds no arrays, so it is hashable and can be a static argument of
`jax.jit`. The caller keeps its arrays in two dicts: `params` are trained, `state` is not. To write a layer, implement
`output_shape` if the shape changes, `param_shapes` if it has params, and `_jax` and `_numpy`, the computation in JAX
and in NumPy.

A layer that can run on a stream of chunks also implements `output_timing`, `stream_init` and `stream_step`. The default
implementations are for layers that work sample by sample, without a buffer.

Shapes describe one example, without the batch axis: `(length, channels)`. An unknown length is `None`. Layers with
several inputs take a tuple of shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import MISSING, dataclass, fields
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import check_dtype, check_key
from ..functional.initialization import glorot_uniform
from ..geometry import ShortInput
from ..hints import check_names, format_names
from ..ragged.sequences import make_sequences
from ..reference.convolution import exact
from ..streaming.buffers import StreamOptions
from ..streaming.timing import IMMEDIATE, OutputTiming
from .ragged import not_none, prepare_samplewise
from .types import (
    Array,
    Arrays,
    ArrayShapes,
    Key,
    OutputAndSequences,
    OutputAndState,
    Params,
    ReceptiveField,
    Shape,
    State,
)


@dataclass(frozen=True)
class Layer:
    """Base class of all layers; the module's docstring says what a subclass implements."""

    CALL_OPTIONS: ClassVar[tuple[str, ...]] = ("inputs",)
    """Fields that belong to one call of a layer. Calls that share params may differ in them."""

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Raise an error that suggests the right name for an unknown option."""
        check_names(cls.__name__, options, (field.name for field in fields(cls) if field.init))
        return super().__new__(cls)

    _receptive_field: ClassVar[ReceptiveField | None] = (1, 1)
    """What `window` returns; a layer in which it depends on the options overrides `window`."""

    _checks: ClassVar[tuple[tuple[str, Callable[[str, Any], Any]], ...]] = ()
    """Pairs of an option and a function that raises `ValueError` for an unsupported value."""

    def __post_init__(self) -> None:
        with name_layer_in_errors(self):
            for name, check in self._checks:
                check(name, getattr(self, name))

    @property
    def has_several_inputs(self) -> bool:
        """Whether the layer takes a tuple of arrays: by default, if `inputs` has more than one name."""
        return len(getattr(self, "inputs", ())) > 1

    def output_shape(self, input_shape: Any) -> Shape:
        """The shape of one example's output, by default the input's.

        Raises `ValueError` for an input shape that the layer does not support.
        """
        return tuple(input_shape)

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """The shapes of the arrays in `params`, by name."""
        return {}

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """The shapes of the arrays in `state`, by name."""
        return {}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """`(params, state)` in float32, initialized as in Keras: Glorot-uniform kernels, zero biases.

        Args:
            key: a `jax.random.key`.
            input_shape: the shape of one example, or a tuple of shapes for a layer with several inputs.

        Raises `ValueError` for an input shape that the layer does not support.
        """
        check_key(key)
        self.output_shape(input_shape)
        shapes = self.param_shapes(input_shape)
        kernels = [name for name in shapes if name.endswith("kernel")]
        keys = dict(zip(kernels, [key] if len(kernels) < 2 else jax.random.split(key, len(kernels)), strict=False))
        return {
            name: glorot_uniform(keys[name], shape) if name in keys else jnp.zeros(shape)
            for name, shape in shapes.items()
        }, {}

    def apply(
        self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Compute the layer.

        Args:
            params: the trained arrays, as from `init`.
            state: the other arrays, as from `init`.
            x: an array whose first axis is the batch, or a tuple or list of arrays for a layer with several inputs.
            training: whether to compute as in training, with dropout and batch statistics.
            key: a `jax.random.key`, which layers with random numbers need in training.

        Returns `(y, state)`: the output and the new state. Raises `ValueError` for arrays of a wrong shape.
        """
        self.check(params, state, x)
        return self._jax({**params, **state}, x), dict(state)

    def apply_ragged(
        self,
        params: Params,
        state: State,
        x: Any,
        *,
        lengths: Any = None,
        segment_ids: Any = None,
        training: bool = False,
        key: Key = None,
    ) -> OutputAndState:
        """Compute the layer on variable-length sequences: each result is as for the sequence alone, without padding.

        Pass either `lengths` (batch,), the number of samples in each row of `x`, or `segment_ids` (batch, length), one
        id per sequence in runs, negative for padding. Both are integers and apply to all inputs of the layer.

        Returns `((y, extent), state)`. `extent` are the lengths or segment ids of `y`: None if `y` has no length, a
        tuple if `y` is a tuple. `docs/guides/variable_length.md` describes the effect on each layer. Raises
        `ValueError` for a layer that does not support variable lengths.
        """
        sequences = map_inputs(lambda a: make_sequences(tuple(a.shape[:2]), lengths, segment_ids), x)
        y, state, out = self.apply_sequences(params, state, x, sequences, training=training, key=key)
        return (y, map_inputs(lambda one: None if one is None else one.extent, out)), state

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """`(y, state, sequences)`: `apply_ragged` with a `jconv.ragged.Sequences` or None per input and output."""
        if not_none(sequences):
            return self._apply_sequences(params, state, x, sequences, training, key)
        y, state = self.apply(params, state, x, training=training, key=key)
        return y, state, map_inputs(lambda _: None, y)

    def _apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, training: bool, key: Key
    ) -> OutputAndSequences:
        """`apply_sequences` for at least one input with `Sequences`.

        A layer overrides it if the computation depends on more than the params and the inputs.
        """
        self.check(params, state, x)
        found = self._jax_sequences({**params, **state}, x, sequences)
        if found is not None:
            return found[0], dict(state), found[1]
        x, out = prepare_samplewise(self, x, sequences)
        y, state = self.apply(params, state, x, training=training, key=key)
        return map_inputs(out.replace_padding, y), state, map_inputs(lambda _: out, y)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Array:
        """`apply` in NumPy with float64, or with complex128 for complex arguments (for complex-step derivatives)."""
        self.check(params, state, x)
        return self._numpy({name: exact(array) for name, array in {**params, **state}.items()}, map_inputs(exact, x))

    def flops(self, input_shape: Any) -> int:
        """Floating-point operations per example: 2 per multiply-add; additions and activations are not counted."""
        return 0

    def window(self) -> ReceptiveField | None:
        """`(size, stride)` of the receptive field, in input samples.

        An output sample depends on at most `size` consecutive input samples, which begin `stride` samples later for the
        next output sample. `(1, 1)` for layers that work sample by sample; None if each output may depend on the
        complete length. Layers that upsample return fractions: n output samples depend on `(n - 1) * stride + size`
        input samples, rounded down.
        """
        return self._receptive_field

    def output_timing(self) -> OutputTiming | tuple[OutputTiming | None, ...] | None:
        """The rate and latency of the layer's output in a stream.

        None for an output without a length, which summarizes all samples so far; a tuple for a layer with several
        outputs. Raises `ValueError` for a layer that needs the complete sequence.
        """
        if self.window() != (1, 1):
            raise ValueError(f"{self} cannot be computed a chunk at a time: it needs the complete length")
        return IMMEDIATE

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """The initial stream state: a pytree of arrays, or None for a layer without a buffer.

        `x` is a `jax.ShapeDtypeStruct` of a chunk (batch, samples, ...), or a tuple for a layer with several inputs;
        its number of samples is ignored. Raises `ValueError` for a layer that needs the complete sequence.
        """
        self.output_timing()
        ranks = [len(array.shape) for array in (x if self.has_several_inputs else (x,))]
        if self.lacks_channels(ranks):
            raise ValueError(f"{self} needs chunks of shape (batch, samples, channels), got {min(ranks)} axes")
        shape = map_inputs(lambda a: (None, *a.shape[2:]), x)
        try:
            self.output_shape(shape)
            self.param_shapes(shape)
            self.state_shapes(shape)
        except ValueError as error:
            raise ValueError(f"{self} cannot be computed a chunk at a time, for any length: {error}") from None
        return None

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """`(y, stream)`: the outputs that the next chunk completes, and the new stream state. Never in training mode.

        `last` and `slots` are as in `jconv.streaming.step`, but `slots` is already checked: int32, with a number out of
        bounds for rows without a session. A model never passes both.
        """
        return apply_unless_empty(lambda x: self.apply(params, state, x)[0], x), stream

    _infers_when_frozen: ClassVar[bool] = False
    """Whether the layer computes as outside training if it is frozen, as Keras's batch normalization."""

    allows_missing_channels: ClassVar[bool] = False
    """Whether the layer also works sample by sample on sequences without a channel axis: (batch, length)."""

    def lacks_channels(self, ranks: Sequence[int]) -> bool:
        """Whether an input, other than a mask, is a sequence whose last axis is the length; `ranks` counts the axes.

        Layers that normalize or concatenate along the last axis would then depend on all samples.
        """
        names = getattr(self, "inputs", ()) or ("",) * len(ranks)
        pairs = zip(names, ranks, strict=False)
        return not self.allows_missing_channels and any(rank < 3 and not name.endswith("mask") for name, rank in pairs)

    def check(self, params: Params, state: State, x: Any) -> None:
        """Raise `ValueError` unless `x`, `params` and `state` have the shapes that the layer needs."""
        shape = map_inputs(lambda a: tuple(np.shape(a))[1:], x)
        self.output_shape(shape)
        kind = type(self).__name__
        wanted = {"params": self.param_shapes(shape), "state": self.state_shapes(shape)}
        for word, arrays in (("params", params), ("state", state)):
            if set(arrays) != set(wanted[word]):
                raise ValueError(f"{kind} needs {word} with {format_names(wanted[word])}, got {format_names(arrays)}")
            for name, array in arrays.items():
                if tuple(np.shape(array)) != wanted[word][name]:
                    raise ValueError(
                        f"{kind} on input of shape {shape} needs {word}[{name!r}] of shape {wanted[word][name]}, "
                        f"got {tuple(np.shape(array))}"
                    )

    # The computation of a layer that does not change its state; `params` includes the state. A layer that changes its
    # state overrides `apply` and `reference` instead.
    def _jax(self, params: Params, x: Any) -> jax.Array:
        raise NotImplementedError

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any] | None:
        """`_jax` for sequences: `(y, sequences)`, or None for layers that work sample by sample."""
        return None

    def _numpy(self, params: Params, x: Any) -> Array:
        raise NotImplementedError

    def __str__(self) -> str:
        words = []
        # Inherited options come first in `fields`, but required options are written first.
        for field in sorted(fields(self), key=lambda field: field.default is not MISSING):
            value = getattr(self, field.name)
            shown = str(value) if isinstance(value, Layer) else getattr(value, "__name__", repr(value))
            if field.default is MISSING:
                words.append(shown)
            # "linear" is Keras's name for no activation.
            elif value != field.default and not (value == "linear" and field.default is None):
                words.append(f"{field.name}={shown}")
        return f"{type(self).__name__}({', '.join(words)})"


class ActivationLayer(Layer):
    """A layer that can be the `activation` of another layer: one input, no state, no random numbers."""


Activation = str | Callable[[Any], Any] | Layer | None


def map_inputs(function: Callable[[Any], Any], x: Any) -> Any:
    """`function(x)`, or for a tuple or list the tuple of `function` applied to each element."""
    return tuple(function(a) for a in x) if isinstance(x, (tuple, list)) else function(x)


def apply_unless_empty(function: Callable[[Any], Any], x: Any) -> Any:
    """`function(x)`, or empty arrays of the right shape if the chunks (batch, samples, ...) in `x` have no samples.

    >>> apply_unless_empty(lambda x: 1 / x.min(axis=1, keepdims=True), jnp.ones((2, 0, 3))).shape
    (2, 0, 3)
    """
    if all(array.shape[1] for array in jax.tree.leaves(x)):
        return function(x)
    one = map_inputs(lambda a: jax.ShapeDtypeStruct((a.shape[0], 1, *a.shape[2:]), a.dtype), x)
    y = jax.eval_shape(function, one)
    return jax.tree.map(lambda a: jnp.zeros((a.shape[0], 0, *a.shape[2:]), a.dtype), y)


def floating_arrays(x: Any, params: Params) -> tuple[Arrays, Any]:
    """`x` and the params as JAX arrays by name, and their common dtype. Raises `ValueError` unless all are floats."""
    arrays = {name: jnp.asarray(array) for name, array in {"x": x, **params}.items()}
    for name, array in arrays.items():
        check_dtype(name, array)
    return arrays, jnp.result_type(*arrays.values())


def map_shapes(function: Callable[[Any], Any], shape: Any) -> Any:
    """`function(shape)`, or for a tuple of shapes the tuple of `function` applied to each.

    >>> map_shapes(len, (7, 4)), map_shapes(len, ((7, 4), (7,)))
    (2, (2, 1))
    """
    return tuple(function(s) for s in shape) if is_tuple_of_shapes(shape) else function(shape)


def shapes_match(shape: Sequence[Any], other: Sequence[Any]) -> bool:
    """Returns whether two shapes are equal, where None matches any size.

    >>> shapes_match((None, 3), (7, 3)), shapes_match((7, 4), (7, 3))
    (True, False)
    """
    return len(shape) == len(other) and all(a == b or None in (a, b) for a, b in zip(shape, other, strict=True))


def is_tuple_of_shapes(shape: Any) -> bool:
    """Whether `shape` is a tuple of shapes, one for each input or output."""
    return bool(shape) and all(isinstance(one, (tuple, list)) for one in shape)


@contextmanager
def _add_to_errors(prefix: str) -> Iterator[None]:
    """Prefix the message of a `ValueError`; `ShortInput` stays `ShortInput`."""
    try:
        yield
    except ValueError as error:
        raise (ShortInput if isinstance(error, ShortInput) else ValueError)(f"{prefix}: {error}") from None


def name_layer_in_errors(layer: Layer) -> AbstractContextManager[None]:
    """Prefix the message of a `ValueError` with the name of the layer's class."""
    return _add_to_errors(type(layer).__name__)


def name_node_in_errors(name: str) -> AbstractContextManager[None]:
    """Prefix the message of a `ValueError` with the name of a node."""
    return _add_to_errors(f"node {name!r}")


def sequence_shape(layer: Layer, input_shape: Any) -> tuple[Any, int]:
    """`(length, channels)`; raises `ValueError` for another number of axes or unknown channels."""
    if len(input_shape) != 2 or not isinstance(input_shape[1], (int, np.integer)):
        raise ValueError(
            f"{type(layer).__name__} needs an input of shape (length, channels) after the batch axis, got {input_shape}"
        )
    return input_shape


def check_number(name: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise `ValueError` unless `value` is a finite number from `low` to `high`."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        least = f" of at least {low}" if high == math.inf else f" from {low} to {high}"
        raise ValueError(f"{name} must be a number{'' if low == -math.inf else least}, got {value!r}")


check_not_negative = partial(check_number, low=0)
check_rate = partial(check_number, low=0, high=1)


def check_optional(check: Callable[[str, Any], None]) -> Callable[[str, Any], None]:
    """The check of an option that may also be None."""
    return lambda name, value: None if value is None else check(name, value)


def check_inputs(layer: Any, *known: tuple[str, ...]) -> None:
    """Convert the layer's `inputs` to a tuple. Raise `ValueError` unless it is one of `known`."""
    object.__setattr__(layer, "inputs", tuple(layer.inputs))
    if layer.inputs not in known:
        raise ValueError(f"{type(layer).__name__}: inputs must be {' or '.join(map(str, known))}, got {layer.inputs}")


def masked_value_shape(layer: Layer, input_shape: Any) -> Shape:
    """The value's shape, from the shapes of a value and its mask. Raises `ValueError` if the mask does not fit."""
    if (
        not is_tuple_of_shapes(input_shape)
        or len(input_shape) != 2
        or not shapes_match(input_shape[0][:-1], input_shape[1])
    ):
        raise ValueError(
            f"{type(layer).__name__} needs a value and a mask of its shape without the last axis, "
            f"got shapes {input_shape}"
        )
    return tuple(input_shape[0])


def count_elementwise_flops(layer: Layer, shape: Any) -> int:
    """One multiply-add per element. Raises `ValueError` if a size is None."""
    check_sizes_known(layer, shape)
    return 2 * math.prod(shape)


def check_sizes_known(layer: Layer, input_shape: Any) -> None:
    """Raise `ValueError` if a size is None."""
    if None in input_shape:
        raise ValueError(f"{type(layer).__name__} needs every size known to count operations, got shape {input_shape}")


def shape_after_activation(layer: Layer, activation: Activation, shape: Shape) -> Shape:
    """The output shape of an activation: `"glu"` halves the last axis, all other names and functions keep the shape."""
    if isinstance(activation, Layer):
        return activation.output_shape(shape)
    *outer, size = shape
    if activation != "glu" or size is None:
        return shape
    if size % 2:
        raise ValueError(f"{type(layer).__name__}: activation glu needs an even number of channels, got {size}")
    return (*outer, size // 2)
