"""What every layer is: a frozen description with `init`, `apply`, `reference` and its shapes.

A layer holds options, never arrays, so it is hashable and may be a static argument of `jax.jit`. Its arrays live in
two plain dicts that the caller keeps: `params`, which are trained, and `state`, which is not. A new layer fills in
`output_shape`, `param_shapes` where it has params, and the two private hooks `_jax` and `_numpy`; the checks and the
rest are here.

A layer that can be computed a chunk at a time says at which `pace`, and what it keeps between chunks: `stream_init`
and `stream_step`. A layer that works sample by sample keeps nothing and need not say so.

Shapes are those of one example, without the batch axis: `(length, channels)`. A length that is not known yet is
`None`. Layers that merge take a tuple of such shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import check_key
from ..conv import glorot_uniform
from ..geometry import ShortInput
from ..hints import check_names
from ..history import Form
from ..pace import SAMPLE, Pace
from ..ragged import of
from ..reference import exact
from .ragged import not_none, prepare_samplewise

Array = np.ndarray[Any, Any]
Shape = tuple[int | None, ...]
Shapes = Shape | tuple[Shape, ...]
Arrays = dict[str, jax.Array]
ReceptiveField = tuple[int | Fraction, int | Fraction]


@dataclass(frozen=True)
class Layer:
    """The description of a layer; see the module for what a new one fills in."""

    CALL_OPTIONS: ClassVar[tuple[str, ...]] = ("inputs",)
    """Fields that say how a layer is called, which may differ from call to call of one layer."""

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Names the option that was meant where there is none of that name."""
        check_names(cls.__name__, options, (field.name for field in fields(cls) if field.init))
        return super().__new__(cls)

    @property
    def has_several_inputs(self) -> bool:
        """Whether the layer takes a tuple of arrays: always for some, else where its `inputs` name more than one."""
        return len(getattr(self, "inputs", ())) > 1

    def output_shape(self, input_shape: Any) -> Shape:
        """The shape of one example's output. Raises `ValueError` for a shape that the layer cannot take."""
        raise NotImplementedError  # each layer has its own

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """Name to shape of every array in `params`."""
        return {}

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """Name to shape of every array in `state`."""
        return {}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """`(params, state)` in float32 as Keras draws them: Glorot-uniform kernels, biases of zeros.

        Raises `ValueError` for a shape that the layer cannot take.
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
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, Any]]:
        """`(y, state)` of `x`, whose first axis is the batch; merging layers take a tuple or list of arrays.

        `key` is for layers that draw in training. Raises `ValueError` for arrays that do not fit the layer.
        """
        self.check(params, state, x)
        return self._jax(params, x), dict(state)

    def apply_ragged(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        lengths: Any = None,
        segment_ids: Any = None,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """`((y, extent), state)` of sequences of unlike length, as if each were a batch of its own.

        Either `lengths` (batch,) says the samples of each row of `x`, or `segment_ids` (batch, length) has a run of one
        id for each sequence and negative ones for padding; both are integers and belong to every input of a merging
        layer. `extent` is the same of `y`, None where it has no length any more, and a tuple where `y` is one.
        `docs/ragged.md` has what becomes of each. Raises `ValueError` where that has no meaning for the layer.
        """
        sequences = map_inputs(lambda a: of(tuple(a.shape[:2]), lengths, segment_ids), x)
        y, state, out = self.apply_sequences(params, state, x, sequences, training=training, key=key)
        return (y, map_inputs(lambda one: None if one is None else one.extent, out)), state

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
        """`(y, state, sequences)`: `apply_ragged` with a `jconv.ragged.Sequences` or None for each input and output.

        This is the one for layers that work sample by sample; the others have their own.
        """
        if not not_none(sequences):
            y, state = self.apply(params, state, x, training=training, key=key)
            return y, state, map_inputs(lambda _: None, y)
        x, out = prepare_samplewise(self, x, sequences)
        y, state = self.apply(params, state, x, training=training, key=key)
        return map_inputs(out.only, y), state, map_inputs(lambda _: out, y)

    def reference(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False
    ) -> Array:
        """`apply` in NumPy, in float64, or complex128 where an argument is complex (for complex-step derivatives)."""
        self.check(params, state, x)
        return self._numpy({name: exact(p) for name, p in params.items()}, map_inputs(exact, x))

    def flops(self, input_shape: Any) -> int:
        """Multiply-adds for one example, each counted as 2; additions, comparisons and activations count nothing."""
        return 0

    def window(self) -> ReceptiveField | None:
        """`(reach, stride)`: input samples that an output sample reads over, and input samples from one to the next.

        `(1, 1)` for layers that work sample by sample, None for those that see the whole length. Fractions where
        more samples come out than go in: n output samples read over `(n - 1) * stride + reach`, rounded down.
        """
        return 1, 1

    def pace(self) -> Pace | tuple[Pace | None, ...] | None:
        """How the outputs of a stream follow its inputs: None for a layer that gives one value of all samples so far.

        A tuple for a layer with several outputs. Raises `ValueError` for a layer that needs the whole sequence.
        """
        if self.window() != (1, 1):
            raise ValueError(f"{self} cannot be computed a chunk at a time: it needs the whole length")
        return SAMPLE

    def stream_init(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, form: Form) -> Any:
        """What a stream keeps before its first sample: a pytree of arrays, None for nothing.

        `x` is a `jax.ShapeDtypeStruct` of a chunk (batch, samples, ...), of which the number of samples means nothing;
        a tuple for a layer that merges. Raises `ValueError` for a layer that needs the whole sequence.
        """
        self.pace()
        if not self.has_several_inputs and len(x.shape) < 3 and not self.allows_missing_channels:
            raise ValueError(f"{self} needs chunks of shape (batch, samples, channels), got {len(x.shape)} axes")
        shape = map_inputs(lambda a: (None, *a.shape[2:]), x)
        try:
            self.output_shape(shape)
            self.param_shapes(shape)
            self.state_shapes(shape)
        except ValueError as error:
            raise ValueError(f"{self} cannot be computed a chunk at a time, for any length: {error}") from None
        return None

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
        """`(y, stream)` of a chunk, as outside training: the outputs that are whole with it.

        `last` is that of `jconv.streaming.step`, and so is `slots`, as int32, with numbers too large for nobody's rows.
        A network never gives both: a session in a slot ends by itself.
        """
        return apply_unless_empty(lambda x: self.apply(params, state, x)[0], x), stream

    allows_missing_channels: ClassVar[bool] = False
    """Whether a sequence may have no channels: (batch, length)."""

    def check(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any) -> None:
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

    # Of layers without a state, which need no `apply` and no `reference` of their own.
    def _jax(self, params: Mapping[str, Any], x: Any) -> jax.Array:
        raise NotImplementedError  # each layer without a state has its own

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        raise NotImplementedError  # each layer without a state has its own

    def __str__(self) -> str:
        words = []
        # An option that a class has from the one it is made of comes before what has no default.
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
    """A layer that may be the activation of another: it reads one array, keeps no state and draws nothing."""


Activation = str | Callable[[Any], Any] | Layer | None


def map_inputs(function: Callable[[Any], Any], x: Any) -> Any:
    """`function` of an array, or the tuple of it over the several inputs of a merging layer."""
    return tuple(function(a) for a in x) if isinstance(x, (tuple, list)) else function(x)


def apply_unless_empty(function: Callable[[Any], Any], x: Any) -> Any:
    """`function` of chunks (batch, samples, ...), which need not take those of no samples.

    >>> apply_unless_empty(lambda x: 1 / x.min(axis=1, keepdims=True), jnp.ones((2, 0, 3))).shape
    (2, 0, 3)
    """
    if all(array.shape[1] for array in jax.tree.leaves(x)):
        return function(x)
    one = map_inputs(lambda a: jax.ShapeDtypeStruct((a.shape[0], 1, *a.shape[2:]), a.dtype), x)
    y = jax.eval_shape(function, one)
    return jax.tree.map(lambda a: jnp.zeros((a.shape[0], 0, *a.shape[2:]), a.dtype), y)


def map_shapes(function: Callable[[Any], Any], shape: Any) -> Any:
    """`function` of a shape, or the tuple of it over several shapes.

    >>> map_shapes(len, (7, 4)), map_shapes(len, ((7, 4), (7,)))
    (2, (2, 1))
    """
    return tuple(function(s) for s in shape) if is_tuple_of_shapes(shape) else function(shape)


def is_tuple_of_shapes(shape: Any) -> bool:
    """Whether a shape is a tuple of shapes: that of several inputs, or of several outputs."""
    return bool(shape) and all(isinstance(one, (tuple, list)) for one in shape)


@contextmanager
def name_layer_in_errors(layer: Layer) -> Iterator[None]:
    """Put the layer's class before the message of a `ValueError` from a room that knows no layers."""
    try:
        yield
    except ValueError as error:
        raise _kind(error)(f"{type(layer).__name__}: {error}") from None


@contextmanager
def name_node_in_errors(name: str) -> Iterator[None]:
    """Put the name of a node before the message of a `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise _kind(error)(f"node {name!r}: {error}") from None


def _kind(error: ValueError) -> type[ValueError]:
    """The class of an error with more words: an input that is too short remains one."""
    return ShortInput if isinstance(error, ShortInput) else ValueError


def sequence_shape(layer: Layer, input_shape: Any) -> tuple[Any, int]:
    """`(length, channels)` of a sequence; raises `ValueError` for another rank or unknown channels."""
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


def check_inputs(layer: Any, *known: tuple[str, ...]) -> None:
    """Raise `ValueError` unless the layer's `inputs` are one of the tuples `axis_sizes`; a list becomes a tuple."""
    object.__setattr__(layer, "inputs", tuple(layer.inputs))
    if layer.inputs not in known:
        raise ValueError(f"{type(layer).__name__}: inputs must be {' or '.join(map(str, known))}, got {layer.inputs}")


def masked_value_shape(layer: Layer, input_shape: Any) -> Shape:
    """The shape of a value that is read with its mask; raises `ValueError` unless the mask has its leading axes."""
    if not is_tuple_of_shapes(input_shape) or len(input_shape) != 2 or not _is_mask_shape(*input_shape):
        raise ValueError(
            f"{type(layer).__name__} needs a value and a mask of its shape without the last axis, "
            f"got shapes {input_shape}"
        )
    return tuple(input_shape[0])


def _is_mask_shape(shape: Any, mask: Any) -> bool:
    # An unknown size may turn out to be the known one.
    return len(mask) == len(shape) - 1 and all(
        size == other or None in (size, other) for size, other in zip(shape, mask, strict=False)
    )


def check_sizes_known(layer: Layer, input_shape: Any) -> None:
    """Raise `ValueError` where a size is None, for what cannot be counted without it."""
    if None in input_shape:
        raise ValueError(f"{type(layer).__name__} needs every size known to count operations, got shape {input_shape}")


def shape_after_activation(layer: Layer, activation: Activation, shape: Shape) -> Shape:
    """The shape after the activation: `"glu"` halves the last axis, everything else, functions too, keeps it."""
    if isinstance(activation, Layer):
        return activation.output_shape(shape)
    *outer, size = shape
    if activation != "glu" or size is None:
        return shape
    if size % 2:
        raise ValueError(f"{type(layer).__name__}: activation glu needs an even number of channels, got {size}")
    return (*outer, size // 2)


def format_names(names: Any) -> str:
    """Names for a message."""
    return ", ".join(repr(name) for name in sorted(names)) or "nothing"
