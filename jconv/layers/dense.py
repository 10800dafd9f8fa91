"""The fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import check_positive
from .activations.activation_option import (
    activation_shapes,
    check_activation,
    jax_activation,
    numpy_activation,
    reads_whole_length,
)
from .base import (
    Activation,
    Array,
    Layer,
    Params,
    ReceptiveField,
    Shape,
    check_sizes_known,
    floating_arrays,
    name_layer_in_errors,
    shape_after_activation,
)


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer, as Keras's `Dense`: `activation(x @ kernel + bias)`, (..., features) to (..., units).

    Params: `kernel` (features, units) and, with `use_bias`, `bias` (units,). `activation` is None, a name, a function,
    or a layer such as `LeakyReLU(0.3)`, whose params are named `activation/...`. bfloat16 and float16 accumulate in
    float32. Raises `ValueError` for `units` below one and an unknown activation.

    >>> Dense(5).output_shape((10, 3))
    (10, 5)
    """

    units: int
    activation: Activation = None
    use_bias: bool = True

    def __post_init__(self) -> None:
        with name_layer_in_errors(self):
            check_positive("units", self.units)
            check_activation(self.activation)

    def output_shape(self, input_shape: Any) -> Shape:
        """`(..., units)`; the input's last size must be known."""
        if not input_shape or input_shape[-1] is None:
            raise ValueError(f"Dense needs an input whose last size is known, got shape {input_shape}")
        return shape_after_activation(self, self.activation, (*input_shape[:-1], self.units))

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """`kernel` and, with `use_bias`, `bias`; then the params of the activation."""
        bias = {"bias": (self.units,)} if self.use_bias else {}
        shape = (*input_shape[:-1], self.units)
        return {"kernel": (input_shape[-1], self.units)} | bias | activation_shapes(self.activation, shape)

    def window(self) -> ReceptiveField | None:
        """`(1, 1)`, or None if the activation is over the length."""
        return None if reads_whole_length(self.activation) else (1, 1)

    def flops(self, input_shape: Any) -> int:
        """`2 * features * units` at every position."""
        check_sizes_known(self, input_shape)
        return 2 * math.prod(input_shape) * self.units

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jax_activation(self.activation, params)(contract("...i,io->...o", x, params))

    def _numpy(self, params: Mapping[str, Array], x: Any) -> Array:
        y = x @ params["kernel"]
        return numpy_activation(self.activation, params)(y + params["bias"] if self.use_bias else y)


def contract(equation: str, x: Any, params: Params) -> jax.Array:
    """The einsum of `x` and the kernel, plus the bias if there is one. 16-bit floats accumulate in float32."""
    arrays, dtype = floating_arrays(x, params)
    wide = jnp.promote_types(dtype, jnp.float32)
    x, kernel = arrays["x"].astype(dtype), arrays["kernel"].astype(dtype)
    y = jnp.einsum(equation, x, kernel, preferred_element_type=wide).astype(dtype)
    return y + arrays["bias"].astype(dtype) if "bias" in arrays else y
