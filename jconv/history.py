"""What a stream keeps of the samples that have passed, so that windows can reach back over them.

Two forms with one meaning. `Shifted` is the last samples in order: each chunk is put behind them and the oldest fall
off. `Ring` never moves them: a chunk takes the place of the oldest, and of the rest only the taps are read, so that a
step costs the same whatever the reach. Whole numbers that decide shapes, above all how long the next output has to
wait, are part of the pytree's structure: the same structure is the same compiled step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .slots import put_rows, take_rows

FORMS = ("auto", "shifted", "ring")
ENDED = "the stream has ended: its last step was taken with last=True; begin another"


class Form(NamedTuple):
    """How streams keep what they keep.

    `name` is `"shifted"`, `"ring"`, or `"auto"` for a ring where reading the taps alone is less than reading all;
    `chunk` the samples of a usual step, which is the one that a ring is made for: any other is right too, and moves
    all samples. With `slots` the first axis is sessions, each at its own time.
    """

    name: str = "auto"
    chunk: int = 1
    slots: bool = False


SHORT = Form()
"""Steps of one sample, all sessions at one time."""


class Taps(NamedTuple):
    """The windows that are read: sizes in samples, as of a convolution. `early` are samples before the first."""

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    early: int = 0

    @property
    def reach(self) -> int:
        """Samples from the first tap to the last."""
        return (self.kernel_size - 1) * self.dilation + 1

    @property
    def kept(self) -> int:
        """Samples that must be kept between steps."""
        return max(self.reach - 1, self.early)


class Ready(NamedTuple):
    """Samples (..., length, channels) of which a valid convolution with this stride and dilation reads the windows."""

    samples: jax.Array
    stride: int
    dilation: int


class Turn(NamedTuple):
    """A ring's step by its own chunk: the rows (..., number) of its `places`, and the head after it."""

    rows: jax.Array
    head: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shifted:
    """The last samples, oldest first: `samples` (..., kept, channels).

    `wait` is how many samples more the next output needs, None after the end.
    """

    samples: jax.Array
    wait: int | None = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ring:
    """The last samples where they were written: `samples` (..., room + chunk, channels).

    The next chunk goes to rows `head` to `head + chunk - 1`, where `head`, below `room`, is a multiple of `chunk`; in
    front of it, going round, are the samples before. For a chunk of several the first rows are there once more behind
    the room, so that no read goes round. `head` is () or (rows,) of int32, `wait` as in `Shifted`. In a network several
    rings lie one after the other in one array: this one from row `base` on, in array number `group`; `samples` and
    `head` are then None between steps, and in a step `turn` is what was found for all rings at once.
    """

    samples: Any
    head: Any
    taps: Taps = field(metadata={"static": True})
    chunk: int = field(metadata={"static": True})
    wait: int | None = field(metadata={"static": True})
    base: int = field(default=0, metadata={"static": True})
    group: int = field(default=0, metadata={"static": True})
    turn: Turn | None = None

    @property
    def room(self) -> int:
        """Rows that are written in turn."""
        # Whole chunks, and one more for the chunk that is written before the oldest samples are read.
        return (-(-self.taps.kept // self.chunk) + 1) * self.chunk

    @property
    def rows(self) -> int:
        """All its rows."""
        return self.room + (self.chunk if self.chunk > 1 else 0)

    def places(self) -> list[tuple[int, int]]:
        """How far from the head, going round, and from which row on: the writes of the next chunk, then its reads."""
        # From the chunk's first row to the first tap of the first window that is new.
        first = (self.wait or 0) - self.taps.reach
        reads = [(first + k * self.taps.dilation, self.base) for k in range(self.taps.kernel_size)]
        # A row of the head is also the row behind the one before it: for row 0, the first behind the room.
        return [(0, self.base), *([(-1, self.base + 1)] if self.chunk > 1 else []), *reads]

    def alone(self) -> Ring:
        """The same in an array of its own."""
        if self.samples.shape[-2] == self.rows:
            return self
        return replace(self, samples=self.samples[..., self.base : self.base + self.rows, :], base=0)

    def back(self, own: Ring) -> Ring:
        """`own`, which `alone` gave, in this one's array."""
        if self.samples.shape[-2] == self.rows:
            return own
        samples = jax.lax.dynamic_update_slice_in_dim(self.samples, own.samples, self.base, self.samples.ndim - 2)
        return replace(own, samples=samples, base=self.base)


def start(
    taps: Taps, batch_shape: Sequence[int], channels: int, dtype: Any, form: Form = SHORT, fill: float = 0
) -> Shifted | Ring:
    """The history before the first sample: `fill` everywhere. Raises `ValueError` for an unknown form."""
    if form.name not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form.name!r}")
    if not isinstance(form.chunk, int) or form.chunk < 1:
        raise ValueError(f"chunk must be an integer of at least 1, got {form.chunk!r}")
    if form.slots and len(batch_shape) != 1:
        raise ValueError(f"slots are the one leading axis of a stream, got batch_shape={tuple(batch_shape)}")
    wait = taps.reach - taps.early
    if _shifts(form, taps):
        return Shifted(jnp.full((*batch_shape, taps.kept, channels), fill, dtype), wait)
    head = jnp.zeros(batch_shape if form.slots else (), jnp.int32)
    ring = Ring(None, head, taps, form.chunk, wait)
    return replace(ring, samples=jnp.full((*batch_shape, ring.rows, channels), fill, dtype))


def _shifts(form: Form, taps: Taps) -> bool:
    if form.name != "auto" or taps.kept == 0:
        return form.name == "shifted" or taps.kept == 0
    # A step of one sample reads no sample twice. With more, taps overlap, and a ring writes its chunk twice.
    return form.chunk > 1 and taps.kernel_size * form.chunk * 2 >= taps.kept + form.chunk


def due(wait: int | None, samples: int, stride: int) -> tuple[int, int]:
    """`(outputs, wait)` after so many samples more. Raises `ValueError` after the end."""
    if wait is None:
        raise ValueError(ENDED)
    outputs = max(0, (samples - wait) // stride + 1)
    return outputs, wait + outputs * stride - samples


def advance(
    history: Shifted | Ring,
    chunk: jax.Array,
    taps: Taps,
    *,
    fill: float = 0,
    end: int | None = None,
    slots: jax.Array | None = None,
    interleaved: bool = True,
) -> tuple[Ready | None, Shifted | Ring]:
    """What is ready to be read with `chunk` (..., n, channels) of samples more, and the history with them.

    Where no window is whole yet, None. `end` is how many samples of `fill` follow the last chunk, None for a chunk
    that is not the last. With `slots` (rows,), row i of `chunk` is of session `slots[i]`. `interleaved` is how taps lie
    that were read alone: those of a window side by side, or a tap's samples side by side.
    """
    length = chunk.shape[-2]
    if isinstance(history, Ring) and history.taps != taps:
        raise ValueError(f"the stream was begun for {history.taps}, got {taps}")
    outputs, wait = due(history.wait, length, taps.stride)
    if end is not None:
        outputs, _ = due(history.wait, length + end, taps.stride)
    after = wait if end is None else None
    if not (length or outputs):
        return None, replace(history, wait=after)
    chunk = chunk.astype(history.samples.dtype)
    # Before the first samples there may be more outputs than a chunk has: they are read from all of them.
    usual = isinstance(history, Ring) and length == history.chunk and (outputs - 1) * taps.stride < length
    if isinstance(history, Ring) and usual and not end:
        return _round(history, chunk, outputs, after, slots, interleaved)
    own = replace(history.alone(), turn=None) if isinstance(history, Ring) else history
    rows = take_rows(own, slots)
    kept = rows.samples if isinstance(rows, Shifted) else _in_order(rows)
    whole = joined([kept, chunk])
    ready = None
    if outputs:
        padded = joined([whole, jnp.full((*whole.shape[:-2], end or 0, whole.shape[-1]), fill, whole.dtype)])
        # The first window that is new ends `wait` samples after the kept ones.
        first = taps.kept + _known(history.wait) - taps.reach
        ready = _read(padded, first, outputs, taps, interleaved)
    last = whole[..., length:, :]
    rows = replace(rows, samples=last, wait=after) if isinstance(rows, Shifted) else _from_order(rows, last, after)
    rows = put_rows(own, rows, slots)
    return ready, history.back(rows) if isinstance(history, Ring) else rows


def _known(wait: int | None) -> int:
    assert wait is not None
    return wait


def _read(whole: jax.Array, first: int, outputs: int, taps: Taps, interleaved: bool) -> Ready:
    """The windows of samples in order: as they lie, or where that is less, the taps alone."""
    span = (outputs - 1) * taps.stride + taps.reach
    if outputs * taps.kernel_size >= span:
        return Ready(whole[..., first : first + span, :], taps.stride, taps.dilation)
    reach = (outputs - 1) * taps.stride + 1
    begins = [first + k * taps.dilation for k in range(taps.kernel_size)]
    return _gathered([whole[..., b : b + reach : taps.stride, :] for b in begins], interleaved)


def _gathered(taps: list[jax.Array], interleaved: bool) -> Ready:
    """The samples of each tap (..., outputs, channels) as samples of which windows are read."""
    size, outputs = len(taps), taps[0].shape[-2]
    if interleaved:
        stacked = jnp.stack(taps, axis=-2)
        return Ready(stacked.reshape(*stacked.shape[:-3], outputs * size, stacked.shape[-1]), size, 1)
    return Ready(joined(taps), 1, outputs)


def turns_of(rings: Sequence[Ring], heads: jax.Array, slots: jax.Array | None) -> list[Turn]:
    """The next step of several rings with these heads (..., number of rings), each by its own chunk.

    Found for all at once: as numbers of each ring they are dozens of computations of one number, which XLA hands to
    its threads one by one. A step of a WaveNet of ten dilations and 64 channels takes 71 us so, and 94 ring by ring
    (median of 300, two cores of an AMD EPYC, JAX 0.10.2, 2026-11-27).
    """
    # Without slots, rows that are each at their own time are all stepped.
    slots = jnp.arange(heads.shape[0]) if slots is None and heads.ndim > 1 else slots
    own = heads if slots is None else heads.at[slots].get(mode="fill", fill_value=0)
    places = [ring.places() for ring in rings]
    which = np.repeat(np.arange(len(rings)), [len(of_ring) for of_ring in places])
    rooms = np.array([ring.room for ring in rings], np.int32)
    steps, bases = np.array([place for of_ring in places for place in of_ring], np.int32).T
    # A remainder is at least zero.
    rows = bases + jnp.remainder(own[..., which] + steps, rooms[which])
    following = jnp.remainder(own + np.array([ring.chunk for ring in rings], np.int32), rooms)
    after = following if slots is None else heads.at[slots].set(following, mode="drop")
    ends = np.cumsum([len(of_ring) for of_ring in places]).tolist()
    begins = [0, *ends[:-1]]
    return [Turn(rows[..., b:e], after[..., i]) for i, (b, e) in enumerate(zip(begins, ends, strict=True))]


def _round(
    ring: Ring, chunk: jax.Array, outputs: int, wait: int | None, slots: jax.Array | None, interleaved: bool
) -> tuple[Ready | None, Ring]:
    """A step of a ring by its own chunk. It is written before it is read, so that it is written in place."""
    if slots is None and ring.head.ndim:
        slots = jnp.arange(len(ring.head))
    (turn,) = (ring.turn,) if ring.turn is not None else turns_of([ring], ring.head[..., None], slots)
    writes = 2 if ring.chunk > 1 else 1
    samples = ring.samples
    for number in range(writes):
        samples = _written(samples, chunk, turn.rows[..., number], slots)
    ready = None
    if outputs:
        taps = ring.taps
        reach = (outputs - 1) * taps.stride + 1
        begins = [turn.rows[..., writes + k] for k in range(taps.kernel_size)]
        ready = _gathered([_cut(samples, b, reach, taps.stride, slots) for b in begins], interleaved)
    return ready, replace(ring, samples=samples, head=turn.head, wait=wait, turn=None)


def _written(samples: jax.Array, chunk: jax.Array, head: jax.Array, slots: jax.Array | None) -> jax.Array:
    if slots is None:
        return jax.lax.dynamic_update_slice_in_dim(samples, chunk, head, axis=samples.ndim - 2)
    at = head[:, None] + jnp.arange(chunk.shape[-2], dtype=head.dtype)
    return samples.at[slots[:, None], at].set(chunk, mode="drop")


def _cut(samples: jax.Array, begin: jax.Array, length: int, stride: int, slots: jax.Array | None) -> jax.Array:
    if slots is None:
        cut = jax.lax.dynamic_slice_in_dim(samples, begin, length, axis=samples.ndim - 2)
        return cut[..., ::stride, :]
    at = begin[:, None] + jnp.arange(0, length, stride, dtype=begin.dtype)
    return samples.at[slots[:, None], at].get(mode="fill", fill_value=0)


def _in_order(ring: Ring) -> jax.Array:
    """The kept samples of a ring, oldest first."""
    kept = ring.taps.kept
    at = jnp.remainder(jnp.asarray(ring.head)[..., None] - kept + np.arange(kept), ring.room)
    if at.ndim == 1:
        return jnp.take(ring.samples, at, axis=-2, mode="clip")
    return jnp.take_along_axis(ring.samples, at[..., None], axis=-2)


def _from_order(ring: Ring, kept: jax.Array, wait: int | None) -> Ring:
    """The ring with these samples, which end where a chunk begins, not at row 0: so nothing lies beyond the room."""
    head = ring.room - ring.chunk
    padding = jnp.zeros_like(kept, shape=(*kept.shape[:-2], ring.samples.shape[-2] - head, kept.shape[-1]))
    front = head - ring.taps.kept
    before = jnp.zeros_like(kept, shape=(*kept.shape[:-2], front, kept.shape[-1]))
    whole = joined([before, kept, padding])
    if ring.chunk > 1:
        whole = joined([whole[..., : ring.room, :], whole[..., : ring.chunk, :]])
    return replace(ring, samples=whole, head=jnp.full_like(ring.head, head), wait=wait)


def joined(arrays: Sequence[jax.Array], axis: int = -2) -> jax.Array:
    """Arrays (..., length, channels) one after the other along an axis; those of no length are left out."""
    some = [array for array in arrays if array.shape[axis]] or [arrays[0]]
    return some[0] if len(some) == 1 else jnp.concatenate(some, axis=axis)
