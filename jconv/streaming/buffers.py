"""What a stream keeps of the samples that have passed, so that windows can reach back over them.

Two forms with one meaning. `Shifted` is the last samples in order: each chunk is put behind them and the oldest fall
off. `Ring` never moves them: a chunk takes the place of the oldest, and of the rest only the taps are read, so that a
step costs the same whatever the reach. Whole numbers that decide shapes, above all how long the next output has to
wait, are part of the pytree's structure: the same structure is the same compiled step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..slots import put_rows, take_rows
from .ring_buffer import Ring, from_order, in_order, step_round
from .windows import Ready, Taps, gathered, joined

FORMS = ("auto", "shifted", "ring")
ENDED = "the stream has ended: its last step was taken with last=True; begin another"


class Form(NamedTuple):
    """How streams keep what they keep.

    `name` is `"shifted"`, `"ring"`, or `"auto"` for a ring where the taps alone are little to read, by themselves or
    beside all; `chunk` the samples of a usual step, which is the one that a ring is made for: any other is right too,
    and moves all samples. With `slots` the first axis is sessions, each at its own time.
    """

    name: str = "auto"
    chunk: int = 1
    slots: bool = False


SHORT = Form()
"""Steps of one sample, all sessions at one time."""

LITTLE = 2**17
"""Bytes of taps up to which they are read alone also where they overlap, so that a product has its operand as it lies.

Samples as they lie are a convolution, which costs more than they are worth. A step of a TCN, 16 layers of 64 channels,
takes with taps alone and with all: for 8 samples (12 KB a layer) 0.10 and 0.19 ms, for 64 (49 KB) 0.23 and 0.25, for
256 (196 KB) 0.65 and 0.62; with JAX in the calling thread 0.06 and 0.15, 0.20 and 0.28, 0.61 and 0.60. Eight depthwise
layers of 4 taps and 256 channels: for 32 samples (131 KB) 0.05 and 0.09 ms, for 64 0.15 and 0.11. Medians, two cores
of an AMD EPYC, JAX 0.10.2, 2026-11-27.
"""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shifted:
    """The last samples, oldest first: `samples` (..., kept, channels).

    `wait` is how many samples more the next output needs, None after the end.
    """

    samples: jax.Array
    wait: int | None = field(metadata={"static": True})


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
    if _shifts(form, taps, math.prod(batch_shape) * channels * np.dtype(dtype).itemsize):
        return Shifted(jnp.full((*batch_shape, taps.kept, channels), fill, dtype), wait)
    head = jnp.zeros(batch_shape if form.slots else (), jnp.int32)
    ring = Ring(None, head, taps, form.chunk, wait)
    return replace(ring, samples=jnp.full((*batch_shape, ring.rows, channels), fill, dtype))


def _shifts(form: Form, taps: Taps, row: int) -> bool:
    """Whether all samples are moved, where one sample of all sessions is `row` bytes."""
    if form.name != "auto" or taps.kept == 0:
        return form.name == "shifted" or taps.kept == 0
    # A step of one sample reads no sample twice. With more, taps overlap, and a ring writes its chunk twice.
    overlap = form.chunk > 1 and taps.kernel_size * form.chunk * 2 >= taps.kept + form.chunk
    return overlap and taps.kernel_size * form.chunk * row > LITTLE


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
    alone: int = 0,
) -> tuple[Ready | None, Shifted | Ring]:
    """What is ready to be read with `chunk` (..., n, channels) of samples more, and the history with them.

    Where no window is whole yet, None. `end` is how many samples of `fill` follow the last chunk, None for a chunk
    that is not the last. With `slots` (rows,), row i of `chunk` is of session `slots[i]`. `interleaved` is how taps lie
    that were read alone: those of a window side by side, or a tap's samples side by side. Up to `alone` bytes they are
    read alone also where they overlap.
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
        return step_round(history, chunk, outputs, after, slots, interleaved)
    own = replace(history.alone(), turn=None) if isinstance(history, Ring) else history
    rows = take_rows(own, slots)
    kept = rows.samples if isinstance(rows, Shifted) else in_order(rows)
    whole = joined([kept, chunk])
    ready = None
    if outputs:
        padded = joined([whole, jnp.full((*whole.shape[:-2], end or 0, whole.shape[-1]), fill, whole.dtype)])
        # The first window that is new ends `wait` samples after the kept ones.
        first = taps.kept + _known(history.wait) - taps.reach
        ready = _read(padded, first, outputs, taps, interleaved, alone)
    last = whole[..., length:, :]
    rows = replace(rows, samples=last, wait=after) if isinstance(rows, Shifted) else from_order(rows, last, after)
    rows = put_rows(own, rows, slots)
    return ready, history.back(rows) if isinstance(history, Ring) else rows


def _known(wait: int | None) -> int:
    assert wait is not None
    return wait


def _read(whole: jax.Array, first: int, outputs: int, taps: Taps, interleaved: bool, alone: int) -> Ready:
    """The windows of samples in order: as they lie, or where that is less, the taps alone."""
    span = (outputs - 1) * taps.stride + taps.reach
    read = outputs * taps.kernel_size
    if read >= span and read * whole[..., 0, :].size * whole.dtype.itemsize > alone:
        return Ready(whole[..., first : first + span, :], taps.stride, taps.dilation)
    reach = (outputs - 1) * taps.stride + 1
    begins = [first + k * taps.dilation for k in range(taps.kernel_size)]
    return gathered([whole[..., b : b + reach : taps.stride, :] for b in begins], interleaved)
