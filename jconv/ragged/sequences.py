"""The positions of variable-length sequences in an array.

A ragged array has one sequence per row, followed by padding. A packed array has several per row, each a run of equal
segment ids; a negative id is padding. In both cases each position has the begin and the end of its sequence, so the
same formulas apply: output sample t of a sequence is at `begin + t`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sequences:
    """The sequences of an array (..., length, channels): position j has a sample if `begin <= j < end`.

    Args:
      begin, end: integers (..., 1) for a ragged array, whose sequences begin at 0, and (..., length) for a packed one.
      original_segment_ids: for a packed array the ids before a layer removed samples, else None.
      one_sample: whether each sequence was reduced to one sample.

    >>> rows = of_lengths(jnp.array([2, 0]), (2, 3))
    >>> rows.valid(3).tolist(), rows.lengths.tolist()
    ([[True, True, False], [False, False, False]], [2, 0])
    """

    begin: jax.Array
    end: jax.Array
    original_segment_ids: jax.Array | None = None
    one_sample: bool = field(default=False, metadata={"static": True})

    @property
    def packed(self) -> bool:
        """Whether the array is packed."""
        return self.original_segment_ids is not None

    @property
    def counts(self) -> jax.Array:
        """The number of samples of the sequence at each position: (..., 1) or (..., length)."""
        return self.end - self.begin

    @property
    def lengths(self) -> jax.Array:
        """The number of samples of each row of a ragged array, (...,)."""
        return self.end[..., 0]

    @property
    def segment_ids(self) -> jax.Array:
        """The id of each position of a packed array, (..., length); -1 without a sample."""
        ids: Any = self.original_segment_ids
        return jnp.where(self.valid(ids.shape[-1]), ids, -1)

    @property
    def as_argument(self) -> dict[str, jax.Array]:
        """`{"lengths": ...}` or `{"segment_ids": ...}`, the argument for a convolution."""
        return {"segment_ids": self.segment_ids} if self.packed else {"lengths": self.lengths}

    @property
    def extent(self) -> jax.Array:
        """`lengths` or `segment_ids`."""
        return self.segment_ids if self.packed else self.lengths

    def valid(self, length: int) -> jax.Array:
        """Whether each of the first `length` positions has a sample: booleans (..., length)."""
        at = jnp.arange(length, dtype=np.int32)
        return (self.begin <= at) & (at < self.end)

    def replace_padding(self, x: Any, fill: Any = 0) -> jax.Array:
        """`x` (..., length, and any further axes) with `fill` at all positions without a sample.

        Values and derivatives do not depend on the replaced values, even if these are NaN. `only` is an alias.
        """
        x, rank = jnp.asarray(x), self.begin.ndim
        valid = self.valid(x.shape[rank - 1])
        return jnp.where(valid.reshape(valid.shape + (1,) * (x.ndim - rank)), x, jnp.asarray(fill, x.dtype))

    only = replace_padding

    def with_counts(self, function: Callable[[Any], Any], **changes: Any) -> Sequences:
        """The sequences with `function(counts)` samples each. A sequence without samples stays without samples."""
        counts = self.counts
        counts = jnp.where(counts > 0, jnp.maximum(function(counts), 0), 0)
        return replace(self, end=self.begin + counts, **changes)

    def repeat(self, size: int) -> Sequences:
        """The sequences with each sample repeated `size` times."""
        if not self.packed:
            return replace(self, end=self.end * size)
        repeated = jax.tree.map(lambda a: jnp.repeat(a, size, axis=-1), self)
        return replace(repeated, begin=repeated.begin * size, end=repeated.end * size)


def of_lengths(lengths: Any, shape: tuple[int, ...]) -> Sequences:
    """The sequences of a ragged array.

    Args:
      lengths: integers of shape `shape[:-1]`; values above the length of the array are reduced to it.
      shape: the axes of the array up to the length.

    Raises:
      ValueError: for `lengths` of another type or shape.

    >>> of_lengths(jnp.array([2, 9]), (2, 5)).counts.tolist()
    [[2], [5]]
    """
    lengths = _check_integers("lengths", lengths, shape[:-1])
    end = jnp.clip(lengths, 0, shape[-1]).astype(np.int32)[..., None]
    return Sequences(jnp.zeros_like(end), end)


def of_segment_ids(segment_ids: Any, shape: tuple[int, ...]) -> Sequences:
    """The sequences of a packed array.

    Args:
      segment_ids: integers of shape `shape`; negative ids are padding.
      shape: the axes of the array up to the length.

    Raises:
      ValueError: for `segment_ids` of another type or shape.

    >>> packed = of_segment_ids(jnp.array([7, 7, 3, -1]), (4,))
    >>> packed.begin.tolist(), packed.counts.tolist()
    ([0, 0, 2, 3], [2, 2, 1, 0])
    """
    ids = _check_integers("segment_ids", segment_ids, shape)
    axis, length = ids.ndim - 1, shape[-1]
    at = jnp.broadcast_to(jnp.arange(length, dtype=np.int32), ids.shape)
    changes = ids[..., 1:] != ids[..., :-1]
    border = jnp.ones_like(ids[..., :1], bool)
    is_first = jnp.concatenate([border, changes], -1)
    is_last = jnp.concatenate([changes, border], -1)
    begin = jax.lax.cummax(jnp.where(is_first, at, 0), axis)
    end = jax.lax.cummin(jnp.where(is_last, at + 1, length), axis, reverse=True)
    return Sequences(begin, jnp.where(ids < 0, begin, end), ids)


def make_sequences(shape: tuple[int, ...], lengths: Any = None, segment_ids: Any = None) -> Sequences | None:
    """`of_lengths` or `of_segment_ids`, or None if neither argument is given.

    Args:
      shape: the axes of the array up to the length.
      lengths, segment_ids: at most one of them.

    Raises:
      ValueError: if both are given, and for a wrong type or shape.

    `jconv.ragged.of` is an alias.

    >>> make_sequences((2, 5), lengths=jnp.array([2, 3])).packed, make_sequences((2, 5))
    (False, None)
    """
    if lengths is not None and segment_ids is not None:
        raise ValueError("lengths and segment_ids must not both be given: a row has one sequence or several")
    if lengths is not None:
        return of_lengths(lengths, shape)
    return None if segment_ids is None else of_segment_ids(segment_ids, shape)


of = make_sequences


def _check_integers(name: str, given: Any, shape: tuple[int, ...]) -> jax.Array:
    array = jnp.asarray(given)
    if not jnp.issubdtype(array.dtype, jnp.integer) or array.shape != tuple(shape):
        raise ValueError(f"{name} must be integers of shape {tuple(shape)}, got {array.dtype} of shape {array.shape}")
    return array
