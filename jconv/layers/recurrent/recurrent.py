"""The recurrent layers SimpleRNN, LSTM and GRU.

The last axis of kernels and biases has the gates in Keras's order: input, forget, candidate, output for LSTM; update,
reset, candidate for GRU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...geometry import check_positive
from ..activations.activation_option import jax_activation, numpy_activation
from ..base import Activation, check_sizes_known, sequence_shape
from ..types import Array, Arrays, ArrayShapes, Params, Shape
from .recurrent_base import DropoutFactors, Recurrent
from .scan import States


class _Dense(Recurrent):
    """Base class of the recurrent layers with matrix products."""

    units: int
    activation: Activation
    use_bias: bool

    _checks = (("units", check_positive),)

    def _layer_param_shapes(self, channels: Any) -> ArrayShapes:
        wide = self.gates * self.units
        shapes = {"kernel": (channels, wide), "recurrent_kernel": (self.units, wide)}
        return shapes | ({"bias": self._bias_shape()} if self.use_bias else {})

    def flops(self, input_shape: Any) -> int:
        """`2 * (features + units) * gates * units` at every step."""
        sequence = self._shapes(input_shape)["sequence"]
        check_sizes_known(self, sequence)
        length, channels = sequence_shape(self, sequence)
        return 2 * length * (channels + self.units) * self.gates * self.units

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _state_shape(self, sequence: Shape) -> Shape:
        sequence_shape(self, sequence)
        return (self.units,)

    def _project_inputs(self, params: Arrays, sequence: jax.Array, drops: DropoutFactors) -> tuple[jax.Array, ...]:
        ys = gate_products(sequence, params["kernel"], drops, self.gates)
        if not self.use_bias:
            return ys
        # For a GRU with reset_after, the first row is the bias of the input projection.
        biases = jnp.split(jnp.atleast_2d(params["bias"])[0], self.gates)
        return tuple(y + bias.astype(y.dtype) for y, bias in zip(ys, biases, strict=True))

    def _project_state(self, params: Arrays, h: jax.Array, drops: DropoutFactors) -> tuple[jax.Array, ...]:
        """The product of the state and the recurrent kernel, per gate."""
        kernel = params["recurrent_kernel"]
        return (
            gate_products(h, kernel, drops, self.gates) if drops else tuple(jnp.split(h @ kernel, self.gates, axis=-1))
        )


def gate_products(x: jax.Array, kernel: jax.Array, drops: DropoutFactors, gates: int) -> tuple[jax.Array, ...]:
    """The product of `x` and the kernel, one array per gate, in at least float32.

    `drops` are dropout masks for `x`: none, one, or one per gate.

    >>> drops = jnp.zeros(2), jnp.array([1.0, 0.0])
    >>> [y.tolist() for y in gate_products(jnp.ones((1, 2)), jnp.ones((2, 2)), drops, 2)]
    [[[0.0]], [[1.0]]]
    """
    wide = jnp.promote_types(jnp.result_type(x, kernel), jnp.float32)
    inputs = [x.astype(wide) * drop for drop in drops] or [x]
    kernels = jnp.split(kernel, gates, axis=-1)
    inputs = inputs * gates if len(inputs) < gates else inputs
    return tuple(jnp.matmul(x, own, preferred_element_type=wide) for x, own in zip(inputs, kernels, strict=True))


@dataclass(frozen=True)
class SimpleRNN(_Dense):
    """Simple recurrent layer, as Keras's `SimpleRNN`: (length, features) to (units,).

    `h = activation(x @ kernel + bias + h @ recurrent_kernel)`. Params: `kernel` (features, units), `recurrent_kernel`
    (units, units) and, with `use_bias`, `bias` (units,). `Recurrent` describes the other options and the inputs: the
    sequence, the initial state `"h"` and a mask. bfloat16 and float16 are computed in float32. Raises `ValueError` for
    invalid options.

    >>> SimpleRNN(3, return_sequences=True).output_shape((10, 2))
    (10, 3)
    >>> SimpleRNN(3, inputs=("sequence", "mask")).output_shape(((None, 2), (None,)))
    (3,)
    """

    units: int
    activation: Activation = "tanh"
    _: KW_ONLY
    use_bias: bool = True

    def _step(self, params: Arrays, x: tuple[jax.Array, ...], states: States, drops: DropoutFactors) -> States:
        (h_products,) = self._project_state(params, states[0], drops)
        return (jax_activation(self.activation, params)(x[0] + h_products),)

    def _numpy_step(self, params: Params, x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        z = x @ params["kernel"] + states[0] @ params["recurrent_kernel"] + params.get("bias", 0)
        return (numpy_activation(self.activation, params)(z),)


@dataclass(frozen=True)
class LSTM(_Dense):
    """Long short-term memory, as Keras's `LSTM`: (length, features) to (units,), with the states `"h"` and `"c"`.

    `z = x @ kernel + bias + h @ recurrent_kernel` is split into input, forget, candidate and output. Then
    `c = gate(forget) * c + gate(input) * activation(candidate)` and `h = gate(output) * activation(c)`, where `gate` is
    `recurrent_activation`; the output is `h`. Params: `kernel` (features, 4 * units), `recurrent_kernel` (units,
    4 * units) and, with `use_bias`, `bias` (4 * units,). With `unit_forget_bias`, `init` sets the forget bias to one.
    `Recurrent` describes the other options. bfloat16 and float16 are computed in float32. Raises `ValueError` for
    invalid options.

    >>> LSTM(3, return_state=True).output_shape((10, 2))
    ((3,), (3,), (3,))
    >>> LSTM(3, inputs=("sequence", "h", "c")).output_shape(((10, 2), (3,), (3,)))
    (3,)
    """

    states = ("h", "c")
    gates = 4

    units: int
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    _: KW_ONLY
    use_bias: bool = True
    unit_forget_bias: bool = True

    def _step(self, params: Arrays, x: tuple[jax.Array, ...], states: States, drops: DropoutFactors) -> States:
        h, c = states
        z = [
            x_products + h_products
            for x_products, h_products in zip(x, self._project_state(params, h, drops), strict=True)
        ]
        return lstm_step(z, c, *self._activation_functions(jax_activation, params))

    def _numpy_step(self, params: Params, x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = states
        z = x @ params["kernel"] + h @ params["recurrent_kernel"] + params.get("bias", 0)
        return numpy_lstm_step(z, c, *self._activation_functions(numpy_activation, params))


def lstm_step(z: Sequence[jax.Array], c: jax.Array, activation: Any, recurrent_activation: Any) -> States:
    """The new `(h, c)`, from the four parts of `z` and the previous `c`."""
    into, forget, candidate, out = z
    c = recurrent_activation(forget) * c + recurrent_activation(into) * activation(candidate)
    return recurrent_activation(out) * activation(c), c


def numpy_lstm_step(z: Array, c: Array, act: Any, gate: Any) -> tuple[Array, ...]:
    """`lstm_step` in NumPy, with the four parts in the last axis of `z`."""
    into, forget, candidate, out = np.split(z, 4, axis=-1)
    c = gate(forget) * c + gate(into) * act(candidate)
    return gate(out) * act(c), c


@dataclass(frozen=True)
class GRU(_Dense):
    """Gated recurrent unit, as Keras's `GRU`: (length, features) to (units,).

    `h = update * h + (1 - update) * candidate`. `update` and `reset` are `recurrent_activation` of their parts of
    `x @ kernel + h @ recurrent_kernel` plus the biases. `candidate` is `activation` of its part of `x @ kernel + bias`
    plus `reset * (h @ recurrent_kernel + recurrent bias)` with `reset_after`, or plus `(reset * h) @ recurrent_kernel`
    without it. Params: `kernel` (features, 3 * units), `recurrent_kernel` (units, 3 * units) and, with `use_bias`,
    `bias`: (2, 3 * units) with `reset_after`, for sequence and state, else (3 * units,). The parts are in the order
    update, reset, candidate. `Recurrent` describes the other options. bfloat16 and float16 are computed in float32.
    Raises `ValueError` for invalid options.

    >>> {name: shape for name, shape in GRU(3, reset_after=False).param_shapes((10, 2)).items()}
    {'kernel': (2, 9), 'recurrent_kernel': (3, 9), 'bias': (9,)}
    """

    gates = 3

    units: int
    activation: Activation = "tanh"
    recurrent_activation: Activation = "sigmoid"
    _: KW_ONLY
    use_bias: bool = True
    reset_after: bool = True

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _step(self, params: Arrays, x: tuple[jax.Array, ...], states: States, drops: DropoutFactors) -> States:
        act, gate = self._activation_functions(jax_activation, params)
        (h,) = states
        if self.reset_after:
            h_products = self._project_state(params, h, drops)
            if self.use_bias:
                biases = jnp.split(params["bias"][1], 3)
                h_products = tuple(y + bias for y, bias in zip(h_products, biases, strict=True))
            update, reset = gate(x[0] + h_products[0]), gate(x[1] + h_products[1])
            candidate = act(x[2] + reset * h_products[2])
        else:
            kernel, gates = params["recurrent_kernel"], 2 * self.units
            h_products = gate_products(h, kernel[:, :gates], drops[:2], 2)
            update, reset = gate(x[0] + h_products[0]), gate(x[1] + h_products[1])
            (inner,) = gate_products(reset * h, kernel[:, gates:], drops[2:], 1)
            candidate = act(x[2] + inner)
        return (update * h + (1 - update) * candidate,)

    def _numpy_step(self, params: Params, x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        act, gate = self._activation_functions(numpy_activation, params)
        (h,) = states
        kernels, recurrent_kernels = (np.split(params[name], 3, axis=-1) for name in ("kernel", "recurrent_kernel"))
        zeros = np.zeros((2, 3 * self.units))
        bias = np.vstack([params["bias"], zeros])[:2] if self.use_bias else zeros
        biases, recurrent_biases = (np.split(row, 3) for row in bias)
        x_products = [x @ kernel + bias for kernel, bias in zip(kernels, biases, strict=True)]
        h_products = [h @ kernel + bias for kernel, bias in zip(recurrent_kernels, recurrent_biases, strict=True)]
        update, reset = gate(x_products[0] + h_products[0]), gate(x_products[1] + h_products[1])
        inner = reset * h_products[2] if self.reset_after else (reset * h) @ recurrent_kernels[2]
        return (update * h + (1 - update) * act(x_products[2] + inner),)
