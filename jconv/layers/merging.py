"""Layers that merge several inputs into one output: elementwise, or by concatenation.

The elementwise layers broadcast as in Keras: axes of size 1 are repeated, and an input with fewer axes gets axes of
size 1 after the batch, so (features,) broadcasts to (length, features).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import zip_longest
from operator import add, mul, or_
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .axes import spans_length
from .base import Layer, is_tuple_of_shapes, masked_value_shape
from .operations.functions import EXACT, TRACED
from .types import Array, Params, ReceptiveField, Shape


class Merging(Layer):
    """Base class of layers with several inputs, whose order is the caller's."""

    @property
    def has_several_inputs(self) -> bool:
        """True."""
        return True

    def _check_several(self, input_shape: Any) -> None:
        """Raise `ValueError` unless there is at least one shape."""
        if not is_tuple_of_shapes(input_shape):
            raise ValueError(f"{type(self).__name__} needs a tuple of shapes, one for each input, got {input_shape}")


class _Elementwise(Merging):
    allows_missing_channels = True

    def output_shape(self, input_shape: Any) -> Shape:
        """The common shape after broadcasting."""
        self._check_several(input_shape)
        return self._broadcast_shape(input_shape)

    def _broadcast_shape(self, shapes: Any) -> Shape:
        out = []
        for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
            wide = {size for size in sizes if size != 1}
            # None matches any size.
            known = wide - {None} or wide
            if len(known) > 1:
                raise ValueError(
                    f"{type(self).__name__} needs inputs of the same shape, or size 1, "
                    f"got shapes {_format_shapes(shapes)}"
                )
            out.append(known.pop() if known else 1)
        return tuple(reversed(out))

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return self._merge(TRACED, [jnp.asarray(a) for a in x])

    def _numpy(self, params: Params, x: Any) -> Array:
        return self._merge(EXACT, x)

    def _merge(self, library: Any, arrays: Any) -> Any:
        """The result for the input arrays; `library` is `TRACED` or `EXACT`, as for operations."""
        raise NotImplementedError


def align_ranks(arrays: Any) -> list[Any]:
    """Arrays with equal numbers of axes: axes of size 1 are inserted after the batch.

    >>> [a.shape for a in align_ranks([np.ones((2, 3)), np.ones((2, 5, 3))])]
    [(2, 1, 3), (2, 5, 3)]
    """
    rank = max(a.ndim for a in arrays)
    return [a.reshape(*a.shape[:1], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in arrays]


@dataclass(frozen=True)
class Add(_Elementwise):
    """Adds its inputs elementwise, as Keras's `Add`.

    >>> Add().apply({}, {}, (jnp.ones((1, 2)), jnp.ones((1, 2))))[0].tolist()
    [[2.0, 2.0]]
    """

    def _merge(self, library: Any, arrays: Any) -> Any:
        return reduce(add, align_ranks(arrays))


@dataclass(frozen=True)
class Subtract(_Elementwise):
    """Subtracts the second of two inputs from the first, as Keras's `Subtract`.

    >>> Subtract().apply({}, {}, (jnp.ones((1, 2)), jnp.ones((1, 2))))[0].tolist()
    [[0.0, 0.0]]
    """

    def output_shape(self, input_shape: Any) -> Shape:
        """The common shape after broadcasting."""
        self._check_several(input_shape)
        if len(input_shape) != 2:
            raise ValueError(f"Subtract needs two inputs, got shapes {_format_shapes(input_shape)}")
        return self._broadcast_shape(input_shape)

    def _merge(self, library: Any, arrays: Any) -> Any:
        first, second = align_ranks(arrays)
        return first - second


@dataclass(frozen=True)
class Average(_Elementwise):
    """The elementwise mean of its inputs, as Keras's `Average`. bfloat16 and float16 accumulate in float32.

    >>> Average().apply({}, {}, (jnp.ones((1, 2)), jnp.zeros((1, 2))))[0].tolist()
    [[0.5, 0.5]]
    """

    def _merge(self, library: Any, arrays: Any) -> Any:
        dtype = library.result_type(*arrays)
        wide = library.promote_types(dtype, np.float32)
        return (reduce(add, (a.astype(wide) for a in align_ranks(arrays))) / len(arrays)).astype(dtype)


class _MaskedElementwise(_Elementwise):
    """Base class of the layers whose result depends on the masks of their inputs."""

    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        names = tuple(self.inputs)
        object.__setattr__(self, "inputs", names)
        for name, before in zip(names, ("mask", *names), strict=False):
            if name not in ("value", "mask") or name == before == "mask":
                raise ValueError(
                    f"{type(self).__name__}: inputs must be 'value' and 'mask', each mask after its value, got {names}"
                )

    def output_shape(self, input_shape: Any) -> Shape:
        """The common shape of the values after broadcasting."""
        self._check_several(input_shape)
        if self.inputs and len(self.inputs) != len(input_shape):
            raise ValueError(
                f"{type(self).__name__} needs {len(self.inputs)} inputs, {self.inputs}, "
                f"got shapes {_format_shapes(input_shape)}"
            )
        pairs = self.values_and_masks(input_shape)
        rank = max(len(value) for value, _ in pairs)
        if any(mask is not None and len(value) < rank for value, mask in pairs):
            raise ValueError(
                f"{type(self).__name__} needs values with masks to have at least as many axes as all other values, "
                f"got shapes {_format_shapes(input_shape)}"
            )
        return self._broadcast_shape(
            [value if mask is None else masked_value_shape(self, (value, mask)) for value, mask in pairs]
        )

    def values_and_masks(self, x: Any) -> list[tuple[Any, Any]]:
        """A list of pairs `(value, mask)`, with None for values without a mask."""
        names = self.inputs or ("value",) * len(x)
        after = (*zip(names, x, strict=True), (None, None))
        return [
            (value, after[i + 1][1] if after[i + 1][0] == "mask" else None)
            for i, (name, value) in enumerate(after[:-1])
            if name == "value"
        ]

    def _merge(self, library: Any, arrays: Any) -> Any:
        pairs = self.values_and_masks(arrays)
        # JAX would trace `.real` of a real array as an operation.
        masks = [
            None if mask is None else ((mask if library is TRACED else mask.real) != 0)[..., None] for _, mask in pairs
        ]
        return self._merge_masked(library, align_ranks([value for value, _ in pairs]), masks)

    def _merge_masked(self, library: Any, values: list[Any], masks: list[Any]) -> Any:
        """`_merge` for values and masks; masks are booleans (..., 1) or None."""
        raise NotImplementedError


@dataclass(frozen=True)
class Multiply(_MaskedElementwise):
    """Multiplies its inputs elementwise, as Keras's `Multiply`.

    `inputs` says which inputs are masks: `("value", "mask", "value")` are two values, the first with a mask. By default
    all are values. As in Keras, masked values count as 1, and the product is 0 where all values are masked. Raises
    `ValueError` for a mask that does not follow a value.

    >>> Multiply().apply({}, {}, (2 * jnp.ones((1, 2)), jnp.ones((1, 2))))[0].tolist()
    [[2.0, 2.0]]
    """

    inputs: tuple[str, ...] = ()

    def _merge_masked(self, library: Any, values: list[Any], masks: list[Any]) -> Any:
        pairs = zip(values, masks, strict=True)
        product = reduce(mul, (v if mask is None else library.where(mask, v, 1) for v, mask in pairs))
        return product if any(mask is None for mask in masks) else library.where(reduce(or_, masks), product, 0)


class _Extreme(_MaskedElementwise):
    _function: ClassVar[str]

    def _merge_masked(self, library: Any, values: list[Any], masks: list[Any]) -> Any:
        out, out_mask = values[0], masks[0]
        for value, mask in zip(values[1:], masks[1:], strict=True):
            # In the order of Keras, which matters if both are masked.
            value = value if mask is None else library.where(mask, value, out)
            out = out if out_mask is None else library.where(out_mask, out, value)
            out_mask = None if out_mask is None or mask is None else out_mask | mask
            out = getattr(library, self._function)(out, value)
        return out


@dataclass(frozen=True)
class Maximum(_Extreme):
    """The elementwise maximum of its inputs, as Keras's `Maximum`. Equal values share the gradient equally.

    `inputs` is as in `Multiply`. As in Keras, the inputs are merged from left to right. A masked value is replaced by
    the maximum so far. If all values so far are masked, the maximum so far is replaced by the next value. Raises
    `ValueError` for a mask that does not follow a value.

    >>> Maximum().apply({}, {}, (jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 0.0]])))[0].tolist()
    [[3.0, 2.0]]
    """

    inputs: tuple[str, ...] = ()

    _function = "maximum"


@dataclass(frozen=True)
class Minimum(_Extreme):
    """The elementwise minimum of its inputs, as Keras's `Minimum`. Equal values share the gradient equally.

    `inputs` and masks are as in `Maximum`. Raises `ValueError` for a mask that does not follow a value.

    >>> Minimum().apply({}, {}, (jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 0.0]])))[0].tolist()
    [[1.0, 0.0]]
    """

    inputs: tuple[str, ...] = ()

    _function = "minimum"


@dataclass(frozen=True)
class Concatenate(Merging):
    """Concatenates its inputs along `axis`, as Keras's `Concatenate`. Axis 0 is the batch.

    Raises `ValueError` for the batch axis.

    >>> Concatenate().output_shape(((10, 3), (10, 4)))
    (10, 7)
    """

    axis: int = -1

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ValueError(f"Concatenate: axis must be an integer other than 0, the batch, got {self.axis!r}")

    def output_shape(self, input_shape: Any) -> Shape:
        """The common sizes, and the sum of the sizes along `axis`."""
        self._check_several(input_shape)
        if len({len(shape) for shape in input_shape}) > 1:
            raise ValueError(
                f"Concatenate needs inputs with the same number of axes, got shapes {_format_shapes(input_shape)}"
            )
        rank = len(input_shape[0]) + 1
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 < axis < rank:
            raise ValueError(
                f"Concatenate: axis={self.axis} is not an axis of inputs of shapes {_format_shapes(input_shape)}"
            )
        out = []
        for i, sizes in enumerate(zip(*input_shape, strict=True), start=1):
            known = {size for size in sizes if size is not None}
            if i == axis:
                out.append(sum(sizes) if None not in sizes else None)
            elif len(known) > 1:
                raise ValueError(
                    f"Concatenate needs inputs of the same shape except along axis={self.axis}, "
                    f"got shapes {_format_shapes(input_shape)}"
                )
            else:
                out.append(known.pop() if known else None)
        return tuple(out)

    def window(self) -> ReceptiveField | None:
        """`(1, 1)`, or None for concatenation along the length."""
        return None if spans_length(self.axis) else (1, 1)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jnp.concatenate([jnp.asarray(a) for a in x], axis=self.axis)

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.concatenate(x, axis=self.axis)


def _format_shapes(shapes: Any) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)
