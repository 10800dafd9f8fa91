"""Helpers of layers for variable-length sequences: reductions per sequence, and errors of unsupported layers."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from ..ragged.sequences import Sequences
from ..ragged.windows import shift

UNSUPPORTED_REASONS = {
    "AdditiveAttention": "scores would include the padding; give it masks as inputs",
    "Attention": "scores would include the padding; give it masks as inputs",
    "Concatenate": "padding would be between the sequences that are joined along the length",
    "Dot": "it sums over axes that may be the length; give it an input without padding",
    "Flatten": "padding would become features",
    "GroupedQueryAttention": "scores would include the padding; give it masks as inputs",
    "LayerNormalization": "its gamma and beta are for one length",
    "MultiHeadAttention": "scores would include the padding; give it masks as inputs",
    "PReLU": "its alpha is for one length; share axis 1",
    "Permute": "the length would not be the first axis after the batch",
    "RMSNormalization": "its scale is for one length",
    "RepeatVector": "a sequence would become several",
    "Reshape": "padding would become features",
}


def unsupported_lengths(layer: Any, why: str = "") -> ValueError:
    """The error of a layer that does not support variable-length sequences."""
    kind = type(layer).__name__
    why = why or UNSUPPORTED_REASONS.get(kind, "it does not work sample by sample along the length")
    return ValueError(f"{kind} takes no lengths or segment_ids: {why}")


def not_none(sequences: Any) -> list[Sequences]:
    """A list of the `Sequences` in one value or a tuple, without None."""
    several = sequences if isinstance(sequences, tuple) else (sequences,)
    return [one for one in several if one is not None]


def prepare_samplewise(layer: Any, x: Any, sequences: Any) -> tuple[Any, Sequences]:
    """For a layer that works sample by sample: the inputs with zeros in the padding, and the output's `Sequences`.

    Raises `ValueError` for other layers. A layer works sample by sample if its receptive field is one sample and its
    output has an unknown length whenever its input has.
    """
    several = isinstance(x, tuple)
    pairs = list(zip(x, sequences, strict=True)) if several else [(x, sequences)]
    shapes = tuple(tuple(a.shape[1:]) if s is None else (None, *a.shape[2:]) for a, s in pairs)
    try:
        shape = layer.output_shape(shapes if several else shapes[0])
    except ValueError:
        raise unsupported_lengths(layer) from None
    outputs = shape if shape and isinstance(shape[0], tuple) else (shape,)
    if layer.window() != (1, 1) or any(not one or one[0] is not None for one in outputs):
        raise unsupported_lengths(layer)
    # A value with one sample for each sequence, or without a length, has no last axis to confuse with the length.
    if layer.lacks_channels([3 if s is None or s.one_sample else a.ndim for a, s in pairs]):
        raise unsupported_lengths(layer, "its input has no channels, so that it works along the length")
    has_full_length = any(not s.one_sample for s in not_none(sequences))
    cleared, kept = [], []
    for a, s in pairs:
        a = a if s is None else s.replace_padding(a)
        if s is not None and s.one_sample and has_full_length:
            a = repeat_first_sample(a, s)
        elif s is not None:
            kept.append(s)
        cleared.append(a)
    return tuple(cleared) if several else cleared[0], reduce(_intersect, kept)


def _intersect(a: Sequences, b: Sequences) -> Sequences:
    """The positions that are valid in both."""
    return replace(a, end=jnp.where(a.begin == b.begin, jnp.minimum(a.end, b.end), a.begin))


def sequence_sum(x: jax.Array, sequences: Sequences) -> jax.Array:
    """The sum over each sequence of `x` (batch, length, ...), broadcastable to `x`. The padding of `x` must be zero.

    The shape is (batch, 1, ...) with `lengths`. For packed sequences it is (batch, length, ...): each position has the
    sum of its segment.
    """
    if not sequences.packed:
        return x.sum(axis=1, keepdims=True)
    return _reduce_segments(jax.ops.segment_sum, x, sequences)


def sequence_max(x: jax.Array, sequences: Sequences) -> jax.Array:
    """The maximum of each sequence, shaped as `sequence_sum`; 0 if empty. Equal values share the gradient equally.

    >>> from jconv.ragged import of_lengths
    >>> sequence_max(jnp.array([[[1.0], [3.0], [9.0]]]), of_lengths([2], (1, 3))).tolist()
    [[[3.0]]]
    """
    fixed = jax.lax.stop_gradient(sequences.replace_padding(x, -jnp.inf))
    nonempty = append_axes(sequences.counts > 0, x)
    packed = sequences.packed
    largest = _reduce_segments(jax.ops.segment_max, fixed, sequences) if packed else fixed.max(1, keepdims=True)
    largest = jnp.where(nonempty, largest, 0)
    # NaN is not equal to itself, so it is propagated explicitly.
    hits = sequences.replace_padding(fixed == largest)
    ties = jnp.where(jnp.isnan(largest), jnp.nan, jnp.maximum(sequence_sum(hits.astype(x.dtype), sequences), 1))
    return jnp.where(nonempty, sequence_sum(jnp.where(hits, x, 0), sequences) / ties, 0)


def sample_count(sequences: Sequences, like: jax.Array) -> jax.Array:
    """The number of samples of each sequence, at least 1, broadcastable to `like` and of its dtype."""
    return append_axes(jnp.maximum(sequences.counts, 1), like).astype(like.dtype)


def repeat_first_sample(x: jax.Array, sequences: Sequences) -> jax.Array:
    """For packed sequences: the first sample of each, repeated at all its positions."""
    at = sequences.begin
    return jnp.take_along_axis(x, at.reshape(at.shape + (1,) * (x.ndim - 2)), axis=1)


def collapse_length(x: jax.Array, sequences: Sequences, keepdims: bool = False) -> tuple[jax.Array, Sequences | None]:
    """One value per sequence, from a result of `sequence_sum` or `sequence_max`, and the output's `Sequences`.

    With `lengths` the shape is (batch, ...), or (batch, 1, ...) with `keepdims`, and the `Sequences` are None. For
    packed sequences, each segment keeps its value at its first position.
    """
    if not sequences.packed:
        return (x if keepdims else x[:, 0]), None
    out = sequences.with_counts(lambda counts: jnp.minimum(counts, 1), one_sample=True)
    return out.replace_padding(x), out


def reverse_sequences(x: jax.Array, sequences: Sequences) -> jax.Array:
    """`x` with each sequence reversed in place."""
    return shift_sequences(x, sequences, sequences.begin + sequences.end - 1 - 2 * jnp.arange(x.shape[1]))


def shift_sequences(x: jax.Array, sequences: Sequences, offset: jax.Array) -> jax.Array:
    """Shift each sequence of `x` (batch, length, ...): position t gets sample `t + offset`, or zero if out of range."""
    return shift(x.reshape(*x.shape[:2], -1), sequences, offset).reshape(x.shape)


def _reduce_segments(function: Any, x: jax.Array, sequences: Sequences) -> jax.Array:
    def row(x: jax.Array, begin: jax.Array) -> jax.Array:
        return function(x, begin, num_segments=x.shape[0])[begin]

    return jax.vmap(row)(x, sequences.begin)


def append_axes(a: Any, x: Any) -> Any:
    """`a` with trailing axes of size 1, to broadcast to `x`."""
    return a.reshape(a.shape + (1,) * (x.ndim - a.ndim))
