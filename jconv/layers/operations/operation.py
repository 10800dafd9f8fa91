"""Array operations as layers: the arithmetic, slices and reductions that Keras models have between layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...streaming.timing import IMMEDIATE, OutputTiming
from ..base import Layer, map_inputs, name_layer_in_errors
from ..ragged import unsupported_lengths
from ..types import Params, ReceptiveField
from .functions import EXACT, OPERATIONS, TRACED
from .operands import Constant, Input, Slice, inputs_in
from .operation_checks import check_arguments
from .operation_text import format_operation
from .operation_window import ELEMENTWISE, is_samplewise, receptive_field, takes_all_samples

# Unknown sizes are traced with two values each: an output size that differs between the two traces is unknown. The
# values have many divisors, so that reshapes to known sizes work.
TRACE_BATCHES, TRACE_LENGTHS = (720720, 1441440), (3603600, 5045040)


@dataclass(frozen=True)
class Operation(Layer):
    """Calls an array function of Keras, such as `add`, on inputs and constants. Axis 0 is the batch, as in Keras.

    `function` is the name. `arguments` are the positional arguments: numbers, strings, `None`, `...`, `Constant`,
    `Slice`, and `Input(i)` for the i-th input, also in nested tuples. `options` are the keyword arguments, as pairs
    (name, value). Raises `ValueError` for an unknown function, for arguments that it does not accept, and for an
    operation whose output does not start with the batch axis.

    >>> Operation("get_item", (Input(0), (Slice(), -1))).output_shape((10, 3))
    (3,)
    >>> Operation("add", (Input(0), 1.5)).apply({}, {}, jnp.ones((1, 2)))[0].tolist()
    [[2.5, 2.5]]
    >>> print(Operation("get_item", (Input(0), (Slice(), Slice(1)))))
    x[:, 1:]
    """

    function: str
    arguments: tuple[Any, ...] = (Input(),)
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.function not in OPERATIONS:
            raise ValueError(
                f"Operation: function must be one of {', '.join(sorted(OPERATIONS))}, got {self.function!r}"
            )
        try:
            signature = inspect.signature(OPERATIONS[self.function])
            given = signature.bind(None, *self.arguments, **dict(self.options)).arguments
        except TypeError as error:
            raise ValueError(f"Operation: {self.function} cannot be called with these arguments: {error}") from None
        with name_layer_in_errors(self):
            check_arguments(self.function, {name: value for name, value in given.items() if name != "m"})
        if sorted(set(inputs_in((self.arguments, self.options)))) != list(range(self._num_inputs)):
            raise ValueError(f"Operation: {self.function} must use each of its inputs, got {self.arguments}")

    @property
    def _num_inputs(self) -> int:
        return 1 + max(inputs_in((self.arguments, self.options)), default=0)

    @property
    def has_several_inputs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the operation has more than one input."""
        return self._num_inputs > 1

    @property
    def allows_missing_channels(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the function is elementwise, adds an axis or takes an index: it does not work along the last axis."""
        return self.function in ELEMENTWISE or self.function in ("expand_dims", "get_item")

    def output_shape(self, input_shape: Any) -> Any:
        """The shape of one example's output, found by tracing."""
        found = [
            self._trace_shapes(input_shape, batch, length)
            for batch, length in zip(TRACE_BATCHES, TRACE_LENGTHS, strict=True)
        ]
        pairs = zip(*(shapes for shapes, _ in found), strict=True)
        shapes = [tuple(a if a == b else None for a, b in zip(*pair, strict=True)) for pair in pairs]
        return tuple(shapes) if found[0][1] else shapes[0]

    def window(self) -> ReceptiveField | None:
        """See `Layer.window`; None if it cannot be inferred from the function, its axes and slices."""
        return receptive_field(self.function, self.arguments, self.options)

    def output_timing(self) -> OutputTiming:
        """One output sample per input sample; raises `ValueError` unless the operation works sample by sample."""
        if not is_samplewise(self.function, self.arguments, self.options):
            raise ValueError(f"{self} cannot be computed a chunk at a time: it does not work sample by sample")
        return IMMEDIATE

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> None:
        if self.function == "get_item" and not takes_all_samples(self.arguments[1]):
            raise unsupported_lengths(self, "a slice of the length would also count the padding; use Cropping1D")

    def __str__(self) -> str:
        return format_operation(self.function, self.arguments, self.options)

    def _trace_shapes(self, input_shape: Any, batch: int, length: int) -> tuple[list[tuple[int, ...]], bool]:
        """The shapes of the outputs, and whether the operation returns a tuple."""
        y = self._trace(input_shape, batch, length)
        shapes = [part.shape for part in (y if isinstance(y, tuple) else (y,))]
        if any(not shape or shape[0] != batch for shape in shapes):
            raise ValueError(f"Operation: {self.function} must keep the batch as the first axis, but gives {shapes[0]}")
        return [shape[1:] for shape in shapes], isinstance(y, tuple)

    def _trace(self, input_shape: Any, batch: int, length: int) -> Any:
        nested = self.has_several_inputs
        sizes = [tuple(length if n is None else n for n in s) for s in (input_shape if nested else (input_shape,))]
        arrays = [jax.ShapeDtypeStruct((batch, *s), np.float32) for s in sizes]
        try:
            return jax.eval_shape(lambda *x: self._run(TRACED, x, jnp.asarray), *arrays)
        except (TypeError, ValueError, IndexError, ArithmeticError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"Operation: {self.function} of an input of shape {input_shape}: {reason}") from None

    def _jax(self, params: Params, x: Any) -> Any:
        inputs = tuple(jnp.asarray(a) for a in (x if self.has_several_inputs else (x,)))
        return self._run(TRACED, inputs, jnp.asarray)

    def _numpy(self, params: Params, x: Any) -> Any:
        y = self._run(EXACT, tuple(x) if self.has_several_inputs else (x,), np.asarray)
        return map_inputs(EXACT.asarray, y)

    def _run(self, module: Any, inputs: tuple[Any, ...], array: Callable[..., Any]) -> Any:
        arguments = _substitute(self.arguments, inputs, array)
        options = {name: _substitute(value, inputs, array) for name, value in self.options}
        return OPERATIONS[self.function](module, *arguments, **options)


def _substitute(value: Any, inputs: tuple[Any, ...], array: Callable[..., Any]) -> Any:
    if isinstance(value, Input):
        return inputs[value.index]
    if isinstance(value, Slice):
        return slice(value.start, value.stop, value.step)
    if isinstance(value, Constant):
        return array(value.values, dtype=value.dtype)
    return tuple(_substitute(part, inputs, array) for part in value) if isinstance(value, tuple) else value
