"""The ring buffer of a stream: where a step writes its chunk and reads the samples of each kernel element."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .windows import ReadyWindows, StreamWindow, combine_taps, concatenate


class RingStep(NamedTuple):
    """The next head, and the rows (..., accesses) at which a step writes and then reads; see `RingBuffer.accesses`."""

    rows: jax.Array
    head: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RingBuffer:
    """The last samples, in a ring of rows: `samples` (..., rows, channels).

    The next chunk is written to rows `head` to `head + chunk - 1`. `head` is a multiple of `chunk` below `capacity`.
    The previous samples are in the rows before `head`, modulo `capacity`. If a read could wrap around within a chunk, a
    copy of the first rows follows the last, so that every read is contiguous. `head` is () or (sessions,) of int32;
    `needed` is as in `ShiftBuffer`.

    A network concatenates several rings in one array: this one begins at row `base` of the array with index `group`.
    Its `samples` and `head` are then None between steps. During a step, `step` has the rows that were computed for all
    rings together.
    """

    samples: Any
    head: Any
    window: StreamWindow = field(metadata={"static": True})
    chunk: int = field(metadata={"static": True})
    needed: int | None = field(metadata={"static": True})
    base: int = field(default=0, metadata={"static": True})
    group: int = field(default=0, metadata={"static": True})
    step: RingStep | None = None

    @property
    def capacity(self) -> int:
        """The number of rows of the ring, without the copy."""
        # One chunk more than the buffered samples, because a step writes its chunk before it reads.
        return (-(-self.window.buffer_size // self.chunk) + 1) * self.chunk

    @property
    def is_aligned(self) -> bool:
        """Whether each kernel element reads rows of a single chunk, so that no read wraps around."""
        return self.chunk == 1 or (self.window.stride == 1 and self.window.dilation % self.chunk == 0)

    @property
    def is_short(self) -> bool:
        """Whether the previous chunk contains all buffered samples, so that only it and the new chunk are read."""
        return not self.is_aligned and self.window.buffer_size <= self.chunk

    @property
    def has_copy(self) -> bool:
        """Whether a copy of the first rows follows the last."""
        return not (self.is_aligned or self.is_short)

    @property
    def rows(self) -> int:
        """The number of rows, with the copy."""
        return self.capacity + (self.chunk if self.has_copy else 0)

    def tap_offsets(self) -> list[int]:
        """For each kernel element, the first row that it reads, relative to the first row of the chunk."""
        first = (self.needed or 0) - self.window.reach
        return [first + k * self.window.dilation for k in range(self.window.kernel_size)]

    def accesses(self) -> list[tuple[int, int]]:
        """The writes of the next chunk and then its reads: (offset from the head modulo `capacity`, first row)."""
        # Reads that begin at the first row of the chunk, or in a short ring anywhere in it, are of the chunk itself.
        reads = [(offset, self.base) for offset in self.tap_offsets() if (offset < 0 if self.is_short else offset)]
        # At head 0 the second write is at row `capacity`, where the copy begins. Elsewhere it repeats the first.
        return [(0, self.base), *([(-1, self.base + 1)] if self.has_copy else []), *reads]

    def extract(self) -> RingBuffer:
        """The same ring in an array of its own."""
        if self.samples.shape[-2] == self.rows:
            return self
        return replace(self, samples=self.samples[..., self.base : self.base + self.rows, :], base=0)

    def insert(self, own: RingBuffer) -> RingBuffer:
        """The inverse of `extract`: `own` in the array of this ring."""
        if self.samples.shape[-2] == self.rows:
            return own
        samples = jax.lax.dynamic_update_slice_in_dim(self.samples, own.samples, self.base, self.samples.ndim - 2)
        return replace(own, samples=samples, base=self.base)


def compute_steps(rings: Sequence[RingBuffer], heads: jax.Array, slots: jax.Array | None) -> list[RingStep]:
    """The next step of each ring by a chunk of `ring.chunk` samples. `heads` (..., number of rings) are all heads.

    They are computed together: integer arithmetic ring by ring would make a step of a small network a third slower.
    """
    # Without slots, all sessions are stepped.
    slots = jnp.arange(heads.shape[0]) if slots is None and heads.ndim > 1 else slots
    own = heads if slots is None else heads.at[slots].get(mode="fill", fill_value=0)
    accesses = [ring.accesses() for ring in rings]
    ring_of = np.repeat(np.arange(len(rings)), [len(of_ring) for of_ring in accesses])
    capacities = np.array([ring.capacity for ring in rings], np.int32)
    offsets, bases = np.array([access for of_ring in accesses for access in of_ring], np.int32).T
    # No offset is below minus the capacity, so operands are not negative and `fmod` is the remainder, in one operation
    # instead of six.
    rows = bases + jnp.fmod(own[..., ring_of] + (offsets + capacities[ring_of]), capacities[ring_of])
    following = jnp.fmod(own + np.array([ring.chunk for ring in rings], np.int32), capacities)
    after = following if slots is None else heads.at[slots].set(following, mode="drop")
    bounds = np.cumsum([0, *(len(of_ring) for of_ring in accesses)]).tolist()
    return [RingStep(rows[..., bounds[i] : bounds[i + 1]], after[..., i]) for i in range(len(rings))]


def step_ring(
    ring: RingBuffer, chunk: jax.Array, outputs: int, needed: int | None, slots: jax.Array | None, interleaved: bool
) -> tuple[ReadyWindows | None, RingBuffer]:
    """A step by a chunk of `ring.chunk` samples. It writes before it reads, so that XLA writes in place."""
    if slots is None and ring.head.ndim:
        slots = jnp.arange(len(ring.head))
    step = ring.step or compute_steps([ring], ring.head[..., None], slots)[0]
    rows = iter([step.rows[..., i] for i in range(step.rows.shape[-1])])
    samples = ring.samples
    for _ in range(2 if ring.has_copy else 1):
        samples = _write(samples, chunk, next(rows), slots)
    ready = None
    if outputs:
        length = (outputs - 1) * ring.window.stride + 1
        taps = [_read_tap(ring, samples, chunk, offset, length, rows, slots) for offset in ring.tap_offsets()]
        ready = combine_taps(taps, interleaved)
    return ready, replace(ring, samples=samples, head=step.head, needed=needed, step=None)


def _read_tap(
    ring: RingBuffer,
    samples: jax.Array,
    chunk: jax.Array,
    offset: int,
    length: int,
    rows: Iterator[jax.Array],
    slots: jax.Array | None,
) -> jax.Array:
    """The samples that a kernel element reads: every `stride`-th of `length`, from `offset` relative to the chunk."""
    stride = ring.window.stride
    if ring.is_short:
        before = min(length, max(0, -offset))
        of_chunk = chunk[..., max(0, offset) : max(0, offset + length), :]
        pieces = [_read(samples, next(rows), before, 1, slots), of_chunk] if before else [of_chunk]
        return concatenate(pieces)[..., ::stride, :]
    if offset:
        return _read(samples, next(rows), length, stride, slots)
    return chunk[..., :length:stride, :]


def _write(samples: jax.Array, chunk: jax.Array, row: jax.Array, slots: jax.Array | None) -> jax.Array:
    if slots is None:
        return jax.lax.dynamic_update_slice_in_dim(samples, chunk, row, axis=samples.ndim - 2)
    at = row[:, None] + jnp.arange(chunk.shape[-2], dtype=row.dtype)
    return samples.at[slots[:, None], at].set(chunk, mode="drop")


def _read(samples: jax.Array, row: jax.Array, length: int, stride: int, slots: jax.Array | None) -> jax.Array:
    if slots is None:
        return jax.lax.dynamic_slice_in_dim(samples, row, length, axis=samples.ndim - 2)[..., ::stride, :]
    at = row[:, None] + jnp.arange(0, length, stride, dtype=row.dtype)
    return samples.at[slots[:, None], at].get(mode="fill", fill_value=0)


def read_in_order(ring: RingBuffer) -> jax.Array:
    """The buffered samples, oldest first."""
    size = ring.window.buffer_size
    at = jnp.remainder(jnp.asarray(ring.head)[..., None] - size + np.arange(size), ring.capacity)
    if at.ndim == 1:
        return jnp.take(ring.samples, at, axis=-2, mode="clip")
    return jnp.take_along_axis(ring.samples, at[..., None], axis=-2)


def write_in_order(ring: RingBuffer, samples: jax.Array, needed: int | None) -> RingBuffer:
    """The inverse of `read_in_order`: the ring with these samples, right before the rows of the last chunk."""
    head = ring.capacity - ring.chunk
    before, after = head - ring.window.buffer_size, ring.samples.shape[-2] - head
    rows = jnp.pad(samples, [(0, 0)] * (samples.ndim - 2) + [(before, after), (0, 0)])
    if ring.has_copy:
        rows = concatenate([rows[..., : ring.capacity, :], rows[..., : ring.chunk, :]])
    return replace(ring, samples=rows, head=jnp.full_like(ring.head, head), needed=needed)
