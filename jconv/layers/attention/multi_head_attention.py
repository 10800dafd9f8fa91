"""Multi-head attention and grouped-query attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...geometry import check_positive
from ..axes import as_axes, as_tuple
from ..base import check_optional, name_layer_in_errors
from .heads import HeadSizes, MultiHeadBase


@dataclass(frozen=True)
class MultiHeadAttention(MultiHeadBase):
    """Multi-head attention, as Keras's `MultiHeadAttention` (Vaswani et al., 2017, arXiv:1706.03762).

    `inputs` names the inputs in order: `query` (length, channels) and `value` (keys, channels), and optionally `key`
    (default: the value), `attention_mask` (length, keys) or (heads, length, keys), in which an axis of size 1
    broadcasts, `query_mask` (length,), `value_mask` and `key_mask` (keys,). Masks are booleans or 0 and 1. A query
    attends to a key if all masks are true; with `causal`, only if the key is not later; with `sliding_window`, only if
    they are less than `sliding_window` positions apart.

    Query and key are projected to `num_heads` heads of `key_dim` channels, the value to heads of `value_dim` channels
    (default: `key_dim`). In each head the weights are the softmax over the keys of `query @ key / sqrt(key_dim)`. The
    weighted means of the values are projected to `out_shape` (Keras's `output_shape`; default: the query's channels).
    With `use_gate` the means are first multiplied by the sigmoid of another projection of the query (Qiu et al., 2025,
    arXiv:2505.06708). `dropout` applies to the weights in training. With `return_attention_scores` the output is
    `(y, weights)`, with the weights (heads, length, keys) before dropout. bfloat16 and float16 accumulate in float32.

    Inputs may have more axes. Attention is then over `attention_axes` (default: all axes between batch and channels).
    `causal`, `sliding_window` and the masks of single inputs need attention over axis 1 alone.

    If all keys of a query are masked, the result is as in Keras on JAX: the mean of all values, or, with `dropout`,
    `return_attention_scores` or more axes, zero before the output projection. Only in these three cases does Keras
    itself support a `value_dim` other than `key_dim`.

    Params: `query/kernel` (channels, heads, key_dim) and `query/bias` (heads, key_dim), likewise for `key`, `value`
    and `gate`; `attention_output/kernel` (heads, value_dim, *out_shape) and `attention_output/bias`.

    Raises `ValueError` for sizes below one, for axes that the query does not have, for unknown or missing `inputs`,
    and for a `dropout` outside 0 to 1.

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

    _checks = (
        *MultiHeadBase._checks,
        *(("num_heads", check_positive), ("key_dim", check_positive), ("value_dim", check_optional(check_positive))),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attention_axes is not None:
            object.__setattr__(self, "attention_axes", as_axes(self, self.attention_axes))
        out = self.out_shape
        if out is not None and not isinstance(out, int):
            object.__setattr__(self, "out_shape", tuple(out))
        with name_layer_in_errors(self):
            for size in () if out is None else as_tuple(out):
                check_positive("out_shape", size)

    def _head_sizes(self, shapes: Mapping[str, tuple[Any, ...]]) -> HeadSizes:
        query = shapes["query"]
        rank = len(query) + 1
        given = range(1, rank - 1) if self.attention_axes is None else as_tuple(self.attention_axes)
        axes = tuple(a + rank if a < 0 else a for a in given)
        if not all(0 < a < rank - 1 for a in axes) or len(set(axes)) < len(axes):
            raise ValueError(
                f"MultiHeadAttention: attention_axes={self.attention_axes} must be distinct axes between the batch and "
                f"the channels, got a query of shape {query} after the batch axis"
            )
        out = query[-1:] if self.out_shape is None else as_tuple(self.out_shape)
        return HeadSizes(self.num_heads, self.num_heads, self.key_dim, self.value_dim or self.key_dim, axes, out)


@dataclass(frozen=True)
class GroupedQueryAttention(MultiHeadBase):
    """Grouped-query attention, as Keras's `GroupQueryAttention` (Ainslie et al., 2023, arXiv:2305.13245).

    As `MultiHeadAttention`, with `num_query_heads` query heads and `num_key_value_heads` heads of keys and values, all
    with `head_dim` channels. Consecutive query heads share a head of keys and values. Inputs have the shape (length,
    channels), and the output has the query's channels.

    Raises `ValueError` for sizes below one, if `num_key_value_heads` does not divide `num_query_heads`, for unknown or
    missing `inputs`, and for a `dropout` outside 0 to 1.

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

    _checks = (
        *MultiHeadBase._checks,
        *((name, check_positive) for name in ("head_dim", "num_query_heads", "num_key_value_heads")),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
