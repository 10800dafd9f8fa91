"""Multi-head attention, and its form in which several heads of queries share keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...geometry import check_positive
from ..axes import as_axes
from ..base import name_layer_in_errors
from .heads import HeadSizes, MultiHeadBase


@dataclass(frozen=True)
class MultiHeadAttention(MultiHeadBase):
    """Keras's `MultiHeadAttention` (Vaswani et al., 2017, arXiv:1706.03762).

    Inputs, by the names in `inputs` and in that order: `query` (length, channels), `value` (keys, channels), and any
    of `key`, else the value, and masks of booleans or 0 and 1: `attention_mask` (length, keys) or (heads, length,
    keys), where 1 is an axis for all; `query_mask` (length,); `value_mask` and `key_mask` (keys,). All that are there
    must be true for a query to attend to a key; with `causal` the key must not be later, with `sliding_window` less
    than so many positions away.

    Query, key and value are projected to `num_heads` heads of `key_dim`, `key_dim` and `value_dim` (by default
    `key_dim`) channels. In each head the weights are the softmax over the keys of `query @ key / sqrt(key_dim)`; the
    values averaged by them are projected to `out_shape`, Keras's `output_shape`, by default the query's channels. With
    `use_gate` they are first multiplied by the sigmoid of another projection of the query (Qiu et al., 2025,
    arXiv:2505.06708). In training the weights pass a dropout. With `return_attention_scores` the output is
    `(y, weights)`, weights (heads, length, keys) before the dropout. Sums of bfloat16 and float16 are of float32.

    Inputs of more axes are attended over `attention_axes`, by default all between batch and channels; `causal`,
    `sliding_window` and the masks of inputs then need `attention_axes=1`.

    A row with no key left is as in Keras on JAX: the average of all values, or, with a dropout, with
    `return_attention_scores` or with more axes, zero before the last projection. Keras computes a `value_dim` other
    than `key_dim` only in the last three cases. Params `query/kernel` (channels, heads, key_dim) and `query/bias`
    (heads, key_dim), so also `key`, `gate` and `value`, and `attention_output/kernel` (heads, value_dim, *out_shape).

    Raises `ValueError` for sizes below one, axes that are not there, inputs that are not known or lack one, and a rate
    outside 0 to 1.

    >>> MultiHeadAttention(2, 8).output_shape(((None, 4), (5, 3)))
    (None, 4)
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    out_shape: int | tuple[int, ...] | None = None
    attention_axes: int | tuple[int, ...] | None = None
    use_gate: bool = False
    sliding_window: int | None = None
    causal: bool = False
    return_attention_scores: bool = False
    inputs: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attention_axes is not None:
            object.__setattr__(self, "attention_axes", as_axes(self, self.attention_axes))
        out = self.out_shape
        if out is not None and not isinstance(out, int):
            object.__setattr__(self, "out_shape", tuple(out))
        with name_layer_in_errors(self):
            for name in ("num_heads", "key_dim"):
                check_positive(name, getattr(self, name))
            if self.value_dim is not None:
                check_positive("value_dim", self.value_dim)
            for size in () if out is None else _tuple(out):
                check_positive("out_shape", size)

    def _head_sizes(self, shapes: Mapping[str, tuple[Any, ...]]) -> HeadSizes:
        query = shapes["query"]
        rank = len(query) + 1
        given = range(1, rank - 1) if self.attention_axes is None else _tuple(self.attention_axes)
        axes = tuple(a + rank if a < 0 else a for a in given)
        if not all(0 < a < rank - 1 for a in axes) or len(set(axes)) < len(axes):
            raise ValueError(
                f"MultiHeadAttention: attention_axes={self.attention_axes} must name axes between the batch, 0, and "
                f"the channels of a query of shape {query} after the batch axis, each once"
            )
        out = query[-1:] if self.out_shape is None else _tuple(self.out_shape)
        return HeadSizes(self.num_heads, self.num_heads, self.key_dim, self.value_dim or self.key_dim, axes, out)


@dataclass(frozen=True)
class GroupedQueryAttention(MultiHeadBase):
    """Keras's `GroupQueryAttention` (Ainslie et al., 2023, arXiv:2305.13245).

    As `MultiHeadAttention`, with `num_query_heads` heads of queries of which each group of neighbours shares one of
    the `num_key_value_heads` heads of keys and values, all of `head_dim` channels. Inputs have two axes after the
    batch, and the output has the query's channels.

    Raises `ValueError` for sizes below one, heads of keys that do not divide those of queries, inputs that are not
    known or lack one, and a rate outside 0 to 1.

    >>> GroupedQueryAttention(8, 4, 2).param_shapes(((7, 3), (5, 3)))["key/kernel"]
    (3, 2, 8)
    """

    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    use_gate: bool = False
    sliding_window: int | None = None
    causal: bool = False
    return_attention_scores: bool = False
    inputs: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        super().__post_init__()
        with name_layer_in_errors(self):
            for name in ("head_dim", "num_query_heads", "num_key_value_heads"):
                check_positive(name, getattr(self, name))
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                f"GroupedQueryAttention: num_key_value_heads={self.num_key_value_heads} must divide "
                f"num_query_heads={self.num_query_heads}"
            )

    def _head_sizes(self, shapes: Mapping[str, tuple[Any, ...]]) -> HeadSizes:
        query = shapes["query"]
        if len(query) != 2:
            raise ValueError(f"GroupedQueryAttention needs a query (length, channels), got shape {query}")
        return HeadSizes(self.num_query_heads, self.num_key_value_heads, self.head_dim, self.head_dim, (1,), query[-1:])


def _tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else value
