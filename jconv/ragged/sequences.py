"""Sequences of unlike length in one array: where they lie, and what is read of each.

A ragged array has one sequence a row, with padding behind it. A packed one has several in a row, each a run of equal
segment ids; a negative id is padding. Both come to the same two numbers for each position, the begin and the end of its
sequence, and so to the same formulas: output sample t of a sequence lies at `begin + t`. What lies outside a sequence
is never multiplied but replaced, so that a NaN there reaches neither values nor derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..algorithms.einsum import unfold
from ..geometry import Geometry, Padding, is_integer, pad_amounts
from .packing import pack as pack
from .packing import pad as pad
from .packing import unpack as unpack


@partial(
    jax.tree_util.register_dataclass, data_fields=["begin", "end", "segment_ids_before"], meta_fields=["one_sample"]
)
@dataclass(frozen=True)
class Sequences:
    """Where the sequences of an array (..., length, channels) lie: position j is a sample if `begin <= j < end`.

    `begin` and `end` are integers (..., 1) of a ragged array, whose sequences begin at 0, and (..., length) of a packed
    one. `segment_ids_before` is None, or the ids of a packed array as they were when it had all its samples.
    `one_sample` is true where each sequence has come to a single sample.

    >>> rows = of_lengths(jnp.array([2, 0]), (2, 3))
    >>> rows.valid(3).tolist(), rows.lengths.tolist()
    ([[True, True, False], [False, False, False]], [2, 0])
    """

    begin: jax.Array
    end: jax.Array
    segment_ids_before: jax.Array | None = None
    one_sample: bool = field(default=False)

    @property
    def packed(self) -> bool:
        """Whether a row may hold several sequences."""
        return self.segment_ids_before is not None

    @property
    def counts(self) -> jax.Array:
        """Samples of the sequence that a position belongs to: (..., 1) or (..., length)."""
        return self.end - self.begin

    @property
    def lengths(self) -> jax.Array:
        """Samples of each row of a ragged array, (...,)."""
        return self.end[..., 0]

    @property
    def segment_ids(self) -> jax.Array:
        """The id of each position of a packed array, (..., length), -1 where there is no sample."""
        ids: Any = self.segment_ids_before
        return jnp.where(self.valid(ids.shape[-1]), ids, -1)

    @property
    def named(self) -> dict[str, jax.Array]:
        """`lengths` or `segment_ids`, as the argument that a convolution takes."""
        return {"segment_ids": self.segment_ids} if self.packed else {"lengths": self.lengths}

    @property
    def extent(self) -> jax.Array:
        """`lengths` or `segment_ids`."""
        return next(iter(self.named.values()))

    def valid(self, length: int) -> jax.Array:
        """Whether each of `length` positions is a sample, (..., length) of booleans."""
        at = jnp.arange(length)
        return (self.begin <= at) & (at < self.end)

    def only(self, x: Any, fill: Any = 0) -> jax.Array:
        """`x` (..., length, and any axes more) with `fill` where no sample is."""
        x, rank = jnp.asarray(x), self.begin.ndim
        valid = self.valid(x.shape[rank - 1])
        return jnp.where(valid.reshape(valid.shape + (1,) * (x.ndim - rank)), x, jnp.asarray(fill, x.dtype))

    def after(self, count: Callable[[Any], Any], **changed: Any) -> Sequences:
        """The same sequences with `count(samples)` samples each, none where there was none."""
        counts = self.counts
        counts = jnp.where(counts > 0, jnp.maximum(count(counts), 0), 0)
        return replace(self, end=self.begin + counts, **changed)


def of_lengths(lengths: Any, shape: tuple[int, ...]) -> Sequences:
    """The sequences of a ragged array whose axes down to the length are `shape`; longer ones are cut at its length.

    Raises `ValueError` unless `lengths` are integers of the shape `shape[:-1]`.
    """
    lengths = _integers("lengths", lengths, shape[:-1])
    end = jnp.clip(lengths, 0, shape[-1]).astype(np.int32)[..., None]
    return Sequences(jnp.zeros_like(end), end)


def of_segment_ids(segment_ids: Any, shape: tuple[int, ...]) -> Sequences:
    """The sequences of a packed array whose axes down to the length are `shape`.

    Raises `ValueError` unless `segment_ids` are integers of that shape.

    >>> packed = of_segment_ids(jnp.array([7, 7, 3, -1]), (4,))
    >>> packed.begin.tolist(), packed.counts.tolist()
    ([0, 0, 2, 3], [2, 2, 1, 0])
    """
    ids = _integers("segment_ids", segment_ids, shape)
    axis, length = ids.ndim - 1, shape[-1]
    at = jnp.broadcast_to(jnp.arange(length, dtype=np.int32), ids.shape)
    changes = ids[..., 1:] != ids[..., :-1]
    border = jnp.ones_like(ids[..., :1], bool)
    first = jnp.concatenate([border, changes], -1)
    last = jnp.concatenate([changes, border], -1)
    begin = jax.lax.cummax(jnp.where(first, at, 0), axis)
    end = jax.lax.cummin(jnp.where(last, at + 1, length), axis, reverse=True)
    return Sequences(begin, jnp.where(ids < 0, begin, end), ids)


def of(shape: tuple[int, ...], lengths: Any = None, segment_ids: Any = None) -> Sequences | None:
    """The sequences that one of the two arguments says, None for neither; raises `ValueError` for both."""
    if lengths is not None and segment_ids is not None:
        raise ValueError("lengths and segment_ids must not both be given: a row has one sequence or several")
    if lengths is not None:
        return of_lengths(lengths, shape)
    return None if segment_ids is None else of_segment_ids(segment_ids, shape)


def _integers(name: str, given: Any, shape: tuple[int, ...]) -> jax.Array:
    array = jnp.asarray(given)
    if not jnp.issubdtype(array.dtype, jnp.integer) or array.shape != tuple(shape):
        raise ValueError(f"{name} must be integers of shape {tuple(shape)}, got {array.dtype} of shape {array.shape}")
    return array


class Window(NamedTuple):
    """The options of a convolution or a pool that say which samples an output sample reads."""

    kernel_size: int
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1
    mode: str = "zeros"

    def geometry(self, length: Any) -> Geometry:
        """The geometry for a length, or for an array of lengths; nothing is checked."""
        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        low, high = pad_amounts(length, self.kernel_size, **options)
        return Geometry(length, self.kernel_size, self.stride, low, high, self.dilation)

    @property
    def low_differs(self) -> bool:
        """Whether the padding in front depends on the length."""
        return self.padding == "same" and self.stride > 1

    def low(self, sequences: Sequences) -> Any:
        """The padding in front of each sequence."""
        return self.geometry(sequences.counts).low

    def after(self, sequences: Sequences) -> Sequences:
        """The sequences of the output. Raises `ValueError` for a packed array whose segments would grow."""
        if sequences.packed and self.geometry(1).out_length > 1:
            raise ValueError(
                f"padding={self.padding!r} makes segments longer than they are, so neighbours of a packed row would "
                "overlap; use same, causal or valid"
            )
        return sequences.after(lambda counts: self.geometry(counts).out_length)


def repeated(sequences: Sequences, size: int) -> Sequences:
    """The sequences where each sample has become `size` of them."""
    if not sequences.packed:
        return replace(sequences, end=sequences.end * size)
    wider = jax.tree.map(lambda a: jnp.repeat(a, size, axis=-1), sequences)
    return replace(wider, begin=wider.begin * size, end=wider.end * size)


def read(x: jax.Array, sequences: Sequences, window: Window, fill: Any = 0) -> tuple[jax.Array, jax.Array]:
    """The windows of `x` (..., length, channels) for each output position, and which of their samples count.

    The windows are (..., out_length, kernel_size, channels), `fill` where nothing counts; a packed array has an output
    position for each of its own, of which `window.after` says which are taken.
    """
    length, dilation = x.shape[-2], window.dilation
    packed = sequences.packed
    out_length = length if packed else window.geometry(length).out_length
    step = np.arange(window.kernel_size) * dilation
    position, low = jnp.arange(out_length), window.low(sequences)
    begin, end = sequences.begin, sequences.end
    first = begin + (position - begin) * window.stride - low
    at = first[..., None] + step
    if not is_still(sequences, window):
        windows, counts = taken(
            x, at.reshape(*at.shape[:-2], -1), _each(begin, window), _each(end, window), window.mode, fill
        )
        shape = out_length, window.kernel_size
        return windows.reshape(*x.shape[:-2], *shape, x.shape[-1]), counts.reshape(*x.shape[:-2], *shape)
    # No position depends on a length: slices do, and the gradient is not a scatter.
    counts = (begin[..., None] <= at) & (at < end[..., None])
    padded = _padded(x, window, out_length)
    windows = unfold(padded, window.kernel_size, stride=window.stride, dilation=dilation)
    return jnp.where(counts[..., None], windows, jnp.asarray(fill, x.dtype)), counts


def is_still(sequences: Sequences, window: Window) -> bool:
    """Whether what an output reads lies at the same distance from it in each sequence, so that slices are enough."""
    return window.mode == "zeros" and not window.low_differs and (not sequences.packed or window.stride == 1)


def taps(x: jax.Array, sequences: Sequences, window: Window) -> Iterator[jax.Array]:
    """The windows of a packed array tap by tap, each (..., length, channels), where `is_still` is true."""
    length, low = x.shape[-2], window.geometry(x.shape[-2]).low
    padded, position = _padded(x, window, length), jnp.arange(length)
    for k in range(window.kernel_size):
        at = position + k * window.dilation - low
        counts = (sequences.begin <= at) & (at < sequences.end)
        tap = jax.lax.slice_in_dim(padded, k * window.dilation, k * window.dilation + length, axis=x.ndim - 2)
        yield jnp.where(counts[..., None], tap, 0)


def _padded(x: jax.Array, window: Window, out_length: int) -> jax.Array:
    """`x` with zeros before and after, just so long that `out_length` windows fit."""
    geometry = window.geometry(x.shape[-2])
    wide = (out_length - 1) * window.stride + geometry.reach
    low, length = geometry.low, x.shape[-2]
    high = wide - length - low
    if is_integer(high) and high < 0:
        x, high = x[..., : wide - low, :], 0
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(low, high), (0, 0)])


def taken(
    x: jax.Array, at: jax.Array, begin: jax.Array, end: jax.Array, mode: str = "zeros", fill: Any = 0
) -> tuple[jax.Array, jax.Array]:
    """`x[..., at, :]`, the sequences continued beyond their ends as `mode` says, and which of it counts.

    `at` is of the shape of `begin` and `end`, or broadcasts to it or they to it.
    """
    counts = (begin <= at) & (at < end)
    if mode != "zeros":
        at = begin + _within(at - begin, jnp.maximum(end - begin, 1), mode)
        counts = jnp.broadcast_to(begin < end, at.shape)
    at = jnp.broadcast_to(jnp.clip(at, 0, x.shape[-2] - 1), counts.shape)
    taken = jnp.take_along_axis(x, at[..., None], axis=-2, mode="promise_in_bounds")
    return jnp.where(counts[..., None], taken, jnp.asarray(fill, x.dtype)), counts


def shifted(x: jax.Array, sequences: Sequences, offset: Any) -> jax.Array:
    """Sample `t + offset` of each sequence at its position t, zero where it has none; an offset for each or for all."""
    at = jnp.arange(x.shape[-2]) + offset
    return taken(x, at, sequences.begin, sequences.end)[0]


def _each(bound: jax.Array, window: Window) -> jax.Array:
    """A begin or end for each tap of each output position."""
    return bound if bound.shape[-1] == 1 else jnp.repeat(bound, window.kernel_size, axis=-1)


def _within(at: jax.Array, count: jax.Array, mode: str) -> jax.Array:
    """Which sample of a sequence of `count` stands at a position outside it, by the modes of `numpy.pad`."""
    if mode == "edge":
        return jnp.clip(at, 0, count - 1)
    if mode == "wrap":
        return at % count
    at = at % jnp.maximum(2 * (count - 1), 1)
    return jnp.minimum(at, 2 * (count - 1) - at)
