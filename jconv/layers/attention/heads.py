"""The base class of multi-head attention: projections, attention axes, masks and shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...functional import activations
from ...geometry import check_positive
from ...reference import activations as activations_numpy
from ..activations.activation import softmax_numpy
from ..base import check_optional, check_sizes_known, shapes_match
from ..dense import glorot_from_fans
from ..types import Array, Arrays, ArrayShapes, Params
from .attention_base import MASKS, AttentionBase, Drop, combine_masks

INPUTS = ("query", "value", "key", *MASKS)
# The value of masked scores, as in jax.nn.dot_product_attention: a completely masked row has uniform weights.
MASKED_SCORE = -0.7 * float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class HeadSizes:
    """The number of query heads, the number of key and value heads, and the channels per head.

    `axes` are the attention axes, where axis 0 is the batch; `out` are the sizes of the output's last axes.
    """

    queries: int
    values: int
    key_dim: int
    value_dim: int
    axes: tuple[int, ...]
    out: tuple[int, ...]


class MultiHeadBase(AttentionBase):
    """Base class of multi-head attention; a subclass implements `_head_sizes`."""

    use_bias: bool
    use_gate: bool
    causal: bool
    sliding_window: int | None

    _checks = (("sliding_window", check_optional(check_positive)),)

    def __post_init__(self) -> None:
        self._check_options(INPUTS)
        super().__post_init__()

    def output_shape(self, input_shape: Any) -> Any:
        """The query's shape with the output channels; with `return_attention_scores` also the weights' shape."""
        shapes, heads = self._check_shapes(input_shape)
        out = (*shapes["query"][:-1], *heads.out)
        return (out, _weights_shape(shapes, heads)) if self.return_attention_scores else out

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`kernel` and, with `use_bias`, `bias` of query, key, gate (with `use_gate`), value and attention_output."""
        shapes, heads = self._check_shapes(input_shape)
        sizes = {
            "query": (shapes["query"][-1:], (heads.queries, heads.key_dim)),
            "key": (shapes["key"][-1:], (heads.values, heads.key_dim)),
            "gate": (shapes["query"][-1:], (heads.queries, heads.value_dim)),
            "value": (shapes["value"][-1:], (heads.values, heads.value_dim)),
            "attention_output": ((heads.queries, heads.value_dim), heads.out),
        }
        found = {}
        for name, (read, out) in sizes.items():
            if name != "gate" or self.use_gate:
                found[f"{name}/kernel"] = (*read, *out)
                found |= {f"{name}/bias": out} if self.use_bias else {}
        return found

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Zero biases and Glorot-uniform kernels. As in Keras, a fan is the product of all input or output sizes."""
        shapes = self.param_shapes(input_shape)
        params = {name: jnp.zeros(shape) for name, shape in shapes.items()}
        for name, one in zip(shapes, jax.random.split(key, len(shapes)), strict=True):
            if name.endswith("kernel"):
                read = 2 if name.startswith("attention_output") else 1
                params[name] = glorot_from_fans(
                    one, shapes[name], math.prod(shapes[name][:read]), math.prod(shapes[name][read:])
                )
        return params, {}

    def flops(self, input_shape: Any) -> int:
        """Multiply-adds of the projections, the scores and the weighted sums, each counted as 2."""
        shapes, heads = self._check_shapes(input_shape)
        for shape in shapes.values():
            check_sizes_known(self, shape)
        positions = {name: math.prod(shapes[name][:-1]) for name in ("query", "key", "value")}
        kernels = {name: math.prod(s) for name, s in self.param_shapes(input_shape).items() if name.endswith("kernel")}
        projections = sum(positions.get(n.partition("/")[0], positions["query"]) * size for n, size in kernels.items())
        return 2 * (projections + math.prod(_weights_shape(shapes, heads)) * (heads.key_dim + heads.value_dim))

    def _head_sizes(self, shapes: Mapping[str, tuple[Any, ...]]) -> HeadSizes:
        """The head sizes for the shapes of query, value and key, without the batch."""
        raise NotImplementedError

    def _check_shapes(self, input_shape: Any) -> tuple[dict[str, tuple[Any, ...]], HeadSizes]:
        """The inputs' shapes and the head sizes; raises `ValueError` if the shapes do not match each other."""
        shapes = self._shapes(input_shape)
        query, value, key = (shapes[name] for name in ("query", "value", "key"))
        if (
            min(len(shape) for shape in (query, value, key)) < 2
            or None in (query[-1], value[-1], key[-1])
            or not shapes_match(value[:-1], key[:-1])
        ):
            raise ValueError(
                f"{type(self).__name__} needs a query (length, channels), and a value and a key of the same length, "
                f"with known channels, got shapes {query}, {value} and {key}"
            )
        heads = self._head_sizes(shapes)
        rest = [i for i in range(len(query) - 1) if i + 1 not in heads.axes]
        if len(query) != len(value) or not shapes_match(tuple(query[i] for i in rest), tuple(value[i] for i in rest)):
            raise ValueError(
                f"{type(self).__name__} needs a query and a value of the same sizes except for the attention axes and "
                f"the channels, got shapes {query} and {value}"
            )
        self._check_masks(shapes, heads)
        return shapes, heads

    def _check_masks(self, shapes: Mapping[str, tuple[Any, ...]], heads: HeadSizes) -> None:
        query, value = shapes["query"], shapes["value"]
        if heads.axes != (1,) and (
            self.causal or self.sliding_window or {"query_mask", "value_mask", "key_mask"} & set(shapes)
        ):
            raise ValueError(
                f"{type(self).__name__}: causal, sliding_window, query_mask, value_mask and key_mask need an attention "
                f"over axis 1 alone, got axes {heads.axes} of an input of shape {query}"
            )
        for name, sequence in (("query_mask", query), ("value_mask", value), ("key_mask", value)):
            if name in shapes:
                self._check_mask(name, shapes[name], sequence[:1])
        if "attention_mask" in shapes:
            given, scores, pairs = shapes["attention_mask"], _weights_shape(shapes, heads), 2 * len(heads.axes)
            wanted = (*scores[: max(len(given) - pairs, 0)], *scores[-pairs:])
            broad = tuple(b if a == 1 else a for a, b in zip(given, wanted, strict=False))
            self._check_mask("attention_mask", broad if len(given) == len(wanted) else given, wanted)

    def _mask(
        self, library: Any, masks: Mapping[str, Any], heads: HeadSizes, shape: tuple[int, ...], pairs: Any
    ) -> Any:
        """A boolean mask of the scores that count, None if all do; it broadcasts to (batch, ..., heads, queries, keys).

        `pairs` are the sizes of queries and keys along each axis attended over.
        """
        joint = combine_masks(library, masks, shape, self.causal, self.sliding_window)
        if "attention_mask" not in masks:
            return joint
        given = masks["attention_mask"]
        front = given.shape[: given.ndim - len(pairs)]
        # As in Keras, missing mask axes are inserted before the attention axes.
        filled = (*front, *[1] * (len(shape) - 2 - len(front)))
        given = library.broadcast_to(given, (*front, *pairs)).reshape(*filled, *shape[-2:])
        return given if joint is None else given & joint

    def _zeroes_masked_rows(self, query: Any) -> bool:
        """Whether a query has zero weights if all its keys are masked, as in Keras without JAX's own attention."""
        return self.dropout > 0 or self.return_attention_scores or query.ndim != 3

    def _attend(self, params: Arrays, named: Arrays, masks: Arrays, drop: Drop) -> tuple[jax.Array, jax.Array]:
        named = {"key": named["value"], **named}
        heads = self._head_sizes({name: a.shape[1:] for name, a in named.items()})
        dtype = named["query"].dtype
        wide = jnp.promote_types(dtype, jnp.float32)

        def dense(name: str, x: jax.Array, axes: int = 1) -> jax.Array:
            y = jnp.tensordot(x, params[f"{name}/kernel"], axes, preferred_element_type=wide).astype(dtype)
            return y + params[f"{name}/bias"] if self.use_bias else y

        split = {
            name: _merge_attention_axes(dense(name, named[name]), heads.axes) for name in ("query", "key", "value")
        }
        query, key, value = split.values()
        pairs = _weights_shape({name: a.shape for name, a in named.items()}, heads, first=0)
        shape = (*query.shape[:-3], heads.queries, query.shape[-3], key.shape[-3])
        mask = self._mask(jnp, masks, heads, shape, pairs[-2 * len(heads.axes) :])
        zeroes_masked_rows = self._zeroes_masked_rows(named["query"])
        factors = drop(jnp.ones(shape, wide)) if self.dropout else None

        def attend(query: jax.Array, mask: Any, factors: Any) -> tuple[jax.Array, jax.Array]:
            """Attention with one query head for each head of keys and values."""
            scores = jnp.einsum("...tnh,...snh->...nts", query, key, preferred_element_type=wide)
            scores = scores / math.sqrt(heads.key_dim)
            weights = jax.nn.softmax(scores if mask is None else jnp.where(mask, scores, MASKED_SCORE), axis=-1)
            weights = jnp.where(mask, weights, 0) if zeroes_masked_rows and mask is not None else weights
            dropped = weights if factors is None else weights * factors
            return jnp.einsum("...nts,...snh->...tnh", dropped, value.astype(wide)), weights

        # Heads of a group share their keys and values. The mapped axis also keeps XLA from fusing both contractions and
        # the softmax into one loop, which takes twice as long.
        group = heads.values, heads.queries // heads.values
        query = query.reshape(*query.shape[:-2], *group, query.shape[-1])

        def grouped(a: Any) -> tuple[Any, int | None]:
            """An array (..., heads or 1, queries, keys) with an axis for the groups, and that axis, if it has any."""
            if a is None or a.shape[-3] == 1:
                return a, None
            return a.reshape(*a.shape[:-3], *group, *a.shape[-2:]), -3

        (mask, mask_axis), (factors, factors_axis) = grouped(mask), grouped(factors)
        axes: Any = (-2, mask_axis, factors_axis)
        y, weights = jax.vmap(attend, axes, out_axes=(-2, -3))(query, mask, factors)
        y = y.reshape(*y.shape[:-3], heads.queries, y.shape[-1]).astype(dtype)
        y = _restore_attention_axes(y, heads.axes, named["query"].shape)
        if self.use_gate:
            y = y * activations.resolve("sigmoid")(dense("gate", named["query"]))
        return dense("attention_output", y, 2), weights.astype(dtype).reshape(pairs)

    def _reference(self, params: Params, named: Mapping[str, Array], masks: Params) -> tuple[Array, Array]:
        named = {"key": named["value"], **named}
        heads = self._head_sizes({name: a.shape[1:] for name, a in named.items()})

        def dense(name: str, x: Array, axes: int = 1) -> Array:
            return np.tensordot(x, params[f"{name}/kernel"], axes) + params.get(f"{name}/bias", 0)

        split = {
            name: _merge_attention_axes(dense(name, named[name]), heads.axes) for name in ("query", "key", "value")
        }
        head_of_query = np.arange(heads.queries) // (heads.queries // heads.values)
        key, value = split["key"][..., head_of_query, :], split["value"][..., head_of_query, :]
        scores = np.einsum("...tnh,...snh->...nts", split["query"], key) / math.sqrt(heads.key_dim)
        pairs = _weights_shape({name: a.shape for name, a in named.items()}, heads, first=0)
        mask = self._mask(np, masks, heads, scores.shape, pairs[-2 * len(heads.axes) :])
        weights = softmax_numpy(scores if mask is None else np.where(mask, scores, MASKED_SCORE))
        if mask is not None and self._zeroes_masked_rows(named["query"]):
            weights = np.where(mask, weights, 0)
        y = _restore_attention_axes(
            np.einsum("...nts,...snh->...tnh", weights, value), heads.axes, named["query"].shape
        )
        if self.use_gate:
            y = y * activations_numpy.resolve("sigmoid")(dense("gate", named["query"]))
        return dense("attention_output", y, 2), weights.reshape(pairs)


def _weights_shape(shapes: Mapping[str, tuple[Any, ...]], heads: HeadSizes, first: int = 1) -> tuple[Any, ...]:
    """The attention weights' shape: other axes, heads, attention axes of the query, attention axes of the value.

    `first` is the axis number of the shapes' first entry: 0 if they include the batch, else 1.
    """
    query, value = shapes["query"], shapes["value"]
    rest = [query[i] for i in range(len(query) - 1) if i + first not in heads.axes]
    return (*rest, heads.queries, *(query[a - first] for a in heads.axes), *(value[a - first] for a in heads.axes))


def _axis_order(rank: int, axes: tuple[int, ...]) -> list[int]:
    """The order of axes that puts the attention axes right before heads and channels."""
    return [*(i for i in range(rank - 2) if i not in axes), *axes, rank - 2, rank - 1]


def _merge_attention_axes(a: Any, axes: tuple[int, ...]) -> Any:
    """(batch, ..., heads, channels) with all attention axes merged into one, the third from the end."""
    moved = a.transpose(_axis_order(a.ndim, axes))
    front = a.ndim - 2 - len(axes)
    return moved.reshape(*moved.shape[:front], math.prod(moved.shape[front:-2]), *moved.shape[-2:])


def _restore_attention_axes(a: Any, axes: tuple[int, ...], query: tuple[int, ...]) -> Any:
    """The inverse of `_merge_attention_axes`, for a query of shape `query`."""
    order = _axis_order(len(query) + 1, axes)
    moved = a.reshape(*(query[i] for i in order[:-2]), *a.shape[-2:])
    return moved.transpose(sorted(range(len(order)), key=order.__getitem__))
