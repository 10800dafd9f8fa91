"""The convolutional LSTM, for sequences of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import reference
from ...functional import convolution
from ...geometry import Padding, check_positive, make_geometry, pad_amounts
from ...planner.choose import check_algorithm
from ...reference.activations import ALONG_LAST
from ..activations.activation_option import jax_activation, numpy_activation
from ..base import Activation, Layer, check_sizes_known, name_layer_in_errors
from ..types import Array, Arrays, ArrayShapes, Params, Shape
from .recurrent import lstm_step, numpy_lstm_step
from .recurrent_base import DropoutFactors, Recurrent
from .scan import States

DATA_FORMATS = ("channels_last", "channels_first")


@dataclass(frozen=True)
class ConvLSTM1D(Recurrent):
    """Convolutional LSTM, as Keras's `ConvLSTM1D`: (time, length, channels) to (out_length, filters).

    An `LSTM` with convolutions along the length instead of matrix products. The convolution of a step's input has
    `stride`, `padding` and `dilation` as in `jconv.conv1d`; the convolution of the state has stride 1 and `"same"`
    padding. The states are `"h"` and `"c"`. Params: `kernel` (kernel_size, channels, 4 * filters), `recurrent_kernel`
    (kernel_size, filters, 4 * filters) and, with `use_bias`, `bias` (4 * filters,). `Recurrent` describes the other
    options. bfloat16 and float16 are computed in float32.

    With `data_format="channels_first"` the last two axes of sequence, states and outputs are swapped; params are not.
    As in Keras, activations along the last axis, such as `"softmax"`, are then computed over the length.

    A mask works as in `LSTM`, as in Keras with `unroll`. (Without `unroll`, Keras 3.15 on JAX broadcasts the batch axis
    of the mask to the length, which is an error for most batch sizes.) As in Keras, each gate has its own dropout mask.

    Raises `ValueError` for invalid options and for an unknown length.

    >>> ConvLSTM1D(8, 3, padding="same", return_sequences=True).output_shape((None, 20, 4))
    (None, 20, 8)
    """

    states = ("h", "c")
    gates = 4

    filters: int
    kernel_size: int
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    _: KW_ONLY
    data_format: str = "channels_last"
    use_bias: bool = True
    unit_forget_bias: bool = True
    algorithm: str = "auto"

    _checks = tuple((name, check_positive) for name in ("filters", "kernel_size", "stride", "dilation"))

    def __post_init__(self) -> None:
        if isinstance(self.padding, list):
            object.__setattr__(self, "padding", tuple(self.padding))
        super().__post_init__()
        with name_layer_in_errors(self):
            pad_amounts(self.kernel_size, self.kernel_size, padding=self.padding)
            check_algorithm(self.algorithm)
        if self.data_format not in DATA_FORMATS:
            raise ValueError(
                f"ConvLSTM1D: data_format must be one of {', '.join(DATA_FORMATS)}, got {self.data_format!r}"
            )

    def _layer_param_shapes(self, channels: Any) -> ArrayShapes:
        wide = 4 * self.filters
        shapes = {
            "kernel": (self.kernel_size, channels, wide),
            "recurrent_kernel": (self.kernel_size, self.filters, wide),
        }
        return shapes | ({"bias": (wide,)} if self.use_bias else {})

    def flops(self, input_shape: Any) -> int:
        """2 per multiply-add of both convolutions at all steps, including multiply-adds with padding."""
        sequence = self._shapes(input_shape)["sequence"]
        check_sizes_known(self, sequence)
        sequence = self._swap_layout_shape(sequence)
        steps, channels, out_length = sequence[0], sequence[-1], self._state_shape(sequence)[0]
        assert steps is not None and channels is not None and out_length is not None
        return 2 * steps * out_length * self.kernel_size * (channels + self.filters) * 4 * self.filters

    @property
    def _dropout_draws(self) -> int:
        return self.gates

    def _swap_layout(self, array: Any) -> Any:
        return array.swapaxes(-1, -2) if self.data_format == "channels_first" else array

    def _swap_layout_shape(self, shape: Shape) -> Shape:
        return (*shape[:-2], *shape[:-3:-1]) if self.data_format == "channels_first" else tuple(shape)

    def _state_shape(self, sequence: Shape) -> Shape:
        if len(sequence) != 3 or None in sequence[1:]:
            last = "channels, length" if self.data_format == "channels_first" else "length, channels"
            raise ValueError(
                f"ConvLSTM1D needs a sequence of shape (time, {last}) after the batch axis, the last two known, got "
                f"{self._swap_layout_shape(sequence)}"
            )
        length: Any = sequence[1]
        with name_layer_in_errors(self):
            return make_geometry(length, self.kernel_size, **self._options).out_length, self.filters

    @property
    def _options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    def _project_inputs(self, params: Arrays, sequence: jax.Array, drops: DropoutFactors) -> tuple[jax.Array, ...]:
        wide = jnp.promote_types(sequence.dtype, jnp.float32)
        y = self._convolve(sequence.astype(wide), params["kernel"].astype(wide), drops, **self._options)
        return tuple(jnp.split(y + params["bias"].astype(wide) if self.use_bias else y, 4, axis=-1))

    def _step(self, params: Arrays, x: tuple[jax.Array, ...], states: States, drops: DropoutFactors) -> States:
        h, c = states
        h_gates = jnp.split(self._convolve(h, params["recurrent_kernel"], drops, padding="same"), 4, axis=-1)
        z = [a + b for a, b in zip(x, h_gates, strict=True)]
        return lstm_step(z, c, *self._activation_functions(jax_activation, params))

    def _convolve(self, x: jax.Array, kernel: jax.Array, drops: DropoutFactors, **options: Any) -> jax.Array:
        """The convolution of `x`. `drops` are dropout masks of `x`: none, or one per gate."""
        if not drops:
            return convolution.conv1d({"kernel": kernel}, x, algorithm=self.algorithm, **options)
        shares = zip(drops, jnp.split(kernel, len(drops), axis=-1), strict=True)
        return jnp.concatenate([self._convolve(x * drop, share, (), **options) for drop, share in shares], -1)

    def _numpy_step(self, params: Params, x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = states
        bias = params.get("bias", np.zeros(4 * self.filters))
        z = reference.conv1d({"kernel": params["kernel"], "bias": bias}, x, **self._options)
        z = z + reference.conv1d({"kernel": params["recurrent_kernel"]}, h, padding="same")
        return numpy_lstm_step(z, c, *self._activation_functions(numpy_activation, params))

    def _activation_functions(self, convert: Callable[..., Any], params: Params) -> list[Callable[[Any], Any]]:
        """The activations. With channels first, activations along the last axis are over the length, as in Keras."""
        functions = super()._activation_functions(convert, params)
        along = [isinstance(given, Layer) or given in ALONG_LAST for given in self._activations.values()]
        return [
            (lambda x, act=function: self._swap_layout(act(self._swap_layout(x)))) if turned else function
            for function, turned in zip(functions, along, strict=True)
        ]
