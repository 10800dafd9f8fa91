"""Fully connected layers, `Dense` and `EinsumDense`, and `Embedding`, which looks up vectors by index."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import check_positive
from .activations.activation_option import (
    activation_shapes,
    check_activation,
    jax_activation,
    numpy_activation,
    reads_complete_length,
)
from .base import Activation, Layer, check_sizes_known, floating_arrays, name_layer_in_errors, shape_after_activation
from .types import Array, Arrays, ArrayShapes, Params, ReceptiveField, Shape

EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


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

    _checks = (("units", check_positive), ("activation", check_activation))

    def output_shape(self, input_shape: Any) -> Shape:
        """`(..., units)`; the input's last size must be known."""
        if not input_shape or input_shape[-1] is None:
            raise ValueError(f"Dense needs an input whose last size is known, got shape {input_shape}")
        return shape_after_activation(self, self.activation, (*input_shape[:-1], self.units))

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`kernel` and, with `use_bias`, `bias`; then the params of the activation."""
        bias = {"bias": (self.units,)} if self.use_bias else {}
        shape = (*input_shape[:-1], self.units)
        return {"kernel": (input_shape[-1], self.units)} | bias | activation_shapes(self.activation, shape)

    def window(self) -> ReceptiveField | None:
        """`(1, 1)`, or None if the activation is over the length."""
        return None if reads_complete_length(self.activation) else (1, 1)

    def flops(self, input_shape: Any) -> int:
        """`2 * features * units` at every position."""
        check_sizes_known(self, input_shape)
        return 2 * math.prod(input_shape) * self.units

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jax_activation(self.activation, params)(contract("...i,io->...o", x, params))

    def _numpy(self, params: Params, x: Any) -> Array:
        y = x @ params["kernel"]
        return numpy_activation(self.activation, params)(y + params["bias"] if self.use_bias else y)


@dataclass(frozen=True)
class EinsumDense(Layer):
    """Dense layer with an einsum equation, as Keras's `EinsumDense`: `activation(einsum(equation, x, kernel) + bias)`.

    `equation` has the form `"abc,cd->abd"`, `"...bc,cd->...bd"` or `"ab...,bc->ac..."`: input, kernel, output. The
    batch is the first letter of input and output, or the first axis of a leading ellipsis. `out_shape` (Keras's
    `output_shape`) is an integer, or a tuple with the size of each output letter except the batch; None means the
    input's size. `bias_axes` are the output letters along which the bias varies; None means no bias.

    Params: `kernel`, with the sizes of its letters, and `bias`. bfloat16 and float16 accumulate in float32. Raises
    `ValueError` for an equation of another form, for letters of `bias_axes` that the output does not have, for
    different sizes of one letter, and for an unknown activation.

    >>> EinsumDense("abc,cd->abd", (None, 5), bias_axes="d").output_shape((10, 3))
    (10, 5)
    """

    equation: str
    out_shape: int | tuple[int | None, ...]
    activation: Activation = None
    bias_axes: str | None = None

    _checks = (("activation", check_activation),)

    def __post_init__(self) -> None:
        if not isinstance(self.out_shape, int):
            object.__setattr__(self, "out_shape", tuple(self.out_shape))
        super().__post_init__()
        with name_layer_in_errors(self):
            _check_equation(self.equation, self.bias_axes)

    def output_shape(self, input_shape: Any) -> Shape:
        """The sizes of the output's letters; an ellipsis keeps the sizes of the input."""
        return shape_after_activation(self, self.activation, self._sizes(input_shape)[1])

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`kernel` and, with `bias_axes`, `bias`; then the params of the activation."""
        sizes, linear = self._sizes(input_shape)
        _, kernel, output, _, right = _parse_equation(self.equation)
        shapes: dict[str, Any] = {"kernel": tuple(sizes.get(letter) for letter in kernel)}
        if self.bias_axes is not None:
            spanned = output[min(output.index(letter) for letter in self.bias_axes) :]
            bias = [sizes.get(letter) if letter in self.bias_axes else 1 for letter in spanned]
            shapes["bias"] = (*bias, *[1] * (self._ellipsis_rank(input_shape) if right else 0))
        if any(None in shape for shape in shapes.values()):
            raise ValueError(
                f"EinsumDense: every axis of the kernel and the bias of {self.equation!r} must be known, got an input "
                f"of shape {tuple(input_shape)} and out_shape={self.out_shape}"
            )
        return shapes | activation_shapes(self.activation, linear)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """A Glorot-uniform kernel and a zero bias, as Keras. The fans are products of the kernel's sizes."""
        self.output_shape(input_shape)
        shapes = self.param_shapes(input_shape)
        _, kernel, output, _, _ = _parse_equation(self.equation)
        fans = [
            math.prod(n for letter, n in zip(kernel, shapes["kernel"], strict=True) if (letter in output) is out)
            for out in (False, True)
        ]
        params = {name: jnp.zeros(shape) for name, shape in shapes.items()}
        return params | {"kernel": glorot_from_fans(key, shapes["kernel"], *fans)}, {}

    def flops(self, input_shape: Any) -> int:
        """Twice the product of the sizes of all letters and of the axes of the ellipsis."""
        check_sizes_known(self, input_shape)
        sizes, _ = self._sizes(input_shape)
        letters_in = _parse_equation(self.equation)[0]
        ellipsis_size = math.prod(input_shape) // math.prod(
            sizes[letter] or 1 for letter in letters_in if letter in sizes
        )
        return 2 * ellipsis_size * math.prod(size or 1 for size in sizes.values())

    def window(self) -> tuple[int, int] | None:
        """`(1, 1)` if the input's axis 1 stays axis 1 or is the only axis after the batch, else None."""
        letters_in, _, output, left, right = _parse_equation(self.equation)
        if reads_complete_length(self.activation):
            return None
        if left:
            return (1, 1) if output.startswith(letters_in[:-1]) else None
        return (1, 1) if letters_in[1:2] == output[1:2] or (len(letters_in) == 2 and not right) else None

    def _ellipsis_rank(self, input_shape: Any) -> int:
        """The number of axes that the ellipsis stands for, without the batch."""
        letters_in, _, _, left, right = _parse_equation(self.equation)
        ellipsis_rank = len(input_shape) + 1 - len(letters_in)
        # A leading ellipsis includes the batch; if it is empty, the first letter is the batch.
        if ellipsis_rank < 0 or (ellipsis_rank > 0 and not (left or right)):
            raise ValueError(
                f"EinsumDense: an input of shape {tuple(input_shape)} after the batch axis does not fit the equation "
                f"{self.equation!r}"
            )
        return ellipsis_rank - 1 if left and ellipsis_rank else ellipsis_rank

    def _sizes(self, input_shape: Any) -> tuple[dict[str, int | None], Shape]:
        """The size of each letter except the batch, and the output shape before the activation."""
        letters_in, _, output, left, right = _parse_equation(self.equation)
        ellipsis_rank = self._ellipsis_rank(input_shape)
        ellipsis_has_batch = left and len(input_shape) + 1 > len(letters_in)
        if not ellipsis_has_batch:
            letters_in, output = letters_in[1:], output[1:]
        front, end = (ellipsis_rank, len(input_shape)) if left else (0, len(input_shape) - ellipsis_rank)
        sizes: dict[str, int | None] = dict(zip(letters_in, input_shape[front:end], strict=True))
        given = (self.out_shape,) if isinstance(self.out_shape, int) else self.out_shape
        if len(given) != len(output):
            raise ValueError(
                f"EinsumDense: out_shape must have a size for each of {output!r}, the output's letters of "
                f"{self.equation!r} without the batch, got {self.out_shape}"
            )
        for letter, size in zip(output, given, strict=True):
            known = sizes.setdefault(letter, size)
            if None not in (known, size) and known != size:
                raise ValueError(
                    f"EinsumDense: {letter!r} of {self.equation!r} has size {known} in the input of shape "
                    f"{tuple(input_shape)} and {size} in out_shape"
                )
            sizes[letter] = size if known is None else known
        shape = tuple(sizes[letter] for letter in output)
        return sizes, (*input_shape[:front], *shape, *(input_shape[end:] if right else ()))

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jax_activation(self.activation, params)(contract(self.equation, x, params))

    def _numpy(self, params: Params, x: Any) -> Array:
        y = np.einsum(self.equation, x, params["kernel"])
        return numpy_activation(self.activation, params)(y + params["bias"] if "bias" in params else y)


def contract(equation: str, x: Any, params: Params) -> jax.Array:
    """The einsum of `x` and the kernel, plus the bias if there is one. 16-bit floats accumulate in float32."""
    arrays, dtype = floating_arrays(x, params)
    wide = jnp.promote_types(dtype, jnp.float32)
    x, kernel = arrays["x"].astype(dtype), arrays["kernel"].astype(dtype)
    y = jnp.einsum(equation, x, kernel, preferred_element_type=wide).astype(dtype)
    return y + arrays["bias"].astype(dtype) if "bias" in arrays else y


def glorot_from_fans(key: jax.Array, shape: tuple[int, ...], fan_in: int, fan_out: int) -> jax.Array:
    """Glorot-uniform random values for the given fans (Glorot and Bengio, AISTATS 2010).

    >>> bool(jnp.abs(glorot_from_fans(jax.random.key(0), (2, 3), 100, 50)).max() <= 0.2)
    True
    """
    limit = math.sqrt(6 / (fan_in + fan_out))
    return jax.random.uniform(key, shape, jnp.float32, -limit, limit)


def _parse_equation(equation: Any) -> tuple[str, str, str, bool, bool]:
    """The letters of input, kernel and output, and whether there is a leading or a trailing ellipsis."""
    match = EQUATION.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
    if match is not None:
        left, letters_in, right, kernel, left_out, output, right_out = match.groups()
        if left == left_out and right == right_out and not (left and right):
            return letters_in, kernel, output, left is not None, right is not None
    raise ValueError(f"equation must be like 'abc,cd->abd', '...c,cd->...d' or 'ab...,bc->ac...', got {equation!r}")


def _check_equation(equation: str, bias_axes: Any) -> None:
    letters_in, kernel, output, left, _ = _parse_equation(equation)
    for letters in (letters_in, kernel, output):
        if len(set(letters)) != len(letters):
            raise ValueError(f"equation must not repeat a letter in {letters!r}, got {equation!r}")
    if not left and (letters_in[0] != output[0] or letters_in[0] in kernel):
        raise ValueError(
            f"equation must begin input and output with the batch, a letter that the kernel lacks, got {equation!r}"
        )
    for letter in sorted(set(output) - set(letters_in) - set(kernel)):
        raise ValueError(f"equation must have the output's letter {letter!r} in input or kernel, got {equation!r}")
    for letter in sorted(set(kernel) - set(letters_in) - set(output)):
        raise ValueError(f"equation must have the kernel's letter {letter!r} in input or output, got {equation!r}")
    allowed = output if left else output[1:]
    if bias_axes is not None and (
        not isinstance(bias_axes, str) or not bias_axes or not set(bias_axes) <= set(allowed)
    ):
        raise ValueError(f"bias_axes must be None or some of the output's letters {allowed!r}, got {bias_axes!r}")


@dataclass(frozen=True)
class Embedding(Layer):
    """Looks up vectors by integer index, as Keras's `Embedding`: (...) to (..., output_dim).

    Param: `embeddings` (input_dim, output_dim). Floating-point indices are truncated to integers. As in Keras on JAX,
    indices from `-input_dim` to -1 count from the end, and indices out of range give NaN. `mask_zero` does not change
    the output: the mask is another node of the graph, `NonzeroMask`.

    Raises `ValueError` for `input_dim` or `output_dim` below one.

    >>> params, _ = Embedding(10, 4).init(jax.random.key(0), (None,))
    >>> Embedding(10, 4).apply(params, {}, jnp.array([[1, 2, 3]]))[0].shape
    (1, 3, 4)
    """

    allows_missing_channels = True

    input_dim: int
    output_dim: int
    mask_zero: bool = False

    _checks = (("input_dim", check_positive), ("output_dim", check_positive))

    def output_shape(self, input_shape: Any) -> Shape:
        """`(..., output_dim)`."""
        return (*input_shape, self.output_dim)

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`embeddings`."""
        return {"embeddings": (self.input_dim, self.output_dim)}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """`embeddings`, drawn uniformly from -0.05 to 0.05."""
        shapes = self.param_shapes(input_shape)
        return {name: jax.random.uniform(key, shape, jnp.float32, -0.05, 0.05) for name, shape in shapes.items()}, {}

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        indices = x if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(jnp.int32)
        return jnp.take(jnp.asarray(params["embeddings"]), indices, axis=0)

    def _numpy(self, params: Params, x: Any) -> Array:
        indices = np.trunc(x.real).astype(np.int64)
        inside = (indices >= -self.input_dim) & (indices < self.input_dim)
        rows = params["embeddings"][np.where(inside, indices, 0)]
        return np.where(inside[..., None], rows, np.nan)
