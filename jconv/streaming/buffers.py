"""The samples that a stream keeps for later windows, as a shift buffer or as a ring buffer.

A `ShiftBuffer` has the last samples in order: each step appends the chunk and drops the oldest samples. A `RingBuffer`
moves nothing: a step overwrites the oldest samples with the chunk and reads only the samples of the kernel elements, so
its cost does not depend on the reach. Integers that determine shapes, such as the number of samples that the next
output needs, are part of the pytree's structure: a step is compiled once per structure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import is_symbolic
from ..slots import put_rows, take_rows
from .ring_buffer import RingBuffer, read_in_order, step_ring, write_in_order
from .windows import ReadyWindows, StreamWindow, combine_taps, concatenate

FORMS = ("auto", "shifted", "ring")
ENDED = "the stream has ended: its last step had last=True; start a new stream"


class StreamOptions(NamedTuple):
    """The options of `jconv.streaming.init` that decide how samples are kept."""

    form: str = "auto"
    chunk: int = 1
    slots: bool = False


MAX_GATHER_BYTES = 2**17
"""Up to this many bytes, the samples of overlapping windows are gathered, which makes the convolution a matrix product.

Above this size, the copies cost more than the matrix product saves.
"""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ShiftBuffer:
    """The last samples, oldest first: `samples` (..., buffer_size, channels).

    `needed` is the number of further samples that the next output needs, None after the end.
    """

    samples: jax.Array
    needed: int | None = field(metadata={"static": True})


Buffer = ShiftBuffer | RingBuffer


def init_buffer(
    window: StreamWindow,
    batch_shape: Sequence[int],
    channels: int,
    dtype: Any,
    options: StreamOptions,
    fill: float = 0,
) -> Buffer:
    """The buffer before the first sample, filled with `fill`. Raises `ValueError` for invalid options."""
    check_form(options.form)
    if not isinstance(options.chunk, int) or options.chunk < 1:
        raise ValueError(f"chunk must be an integer of at least 1, got {options.chunk!r}")
    if options.slots and len(batch_shape) != 1:
        raise ValueError(f"with slots=True batch_shape must be (slots,), got {tuple(batch_shape)}")
    needed = window.reach - window.low
    if _prefers_shifting(options, window, math.prod(batch_shape) * channels * np.dtype(dtype).itemsize):
        return ShiftBuffer(jnp.full((*batch_shape, window.buffer_size, channels), fill, dtype), needed)
    head = jnp.zeros(batch_shape if options.slots else (), jnp.int32)
    ring = RingBuffer(None, head, window, options.chunk, needed)
    return replace(ring, samples=jnp.full((*batch_shape, ring.rows, channels), fill, dtype))


def check_form(form: str) -> None:
    """Raises `ValueError` if the form of a buffer is unknown."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")


def _prefers_shifting(options: StreamOptions, window: StreamWindow, sample_bytes: int) -> bool:
    """Whether to use a shift buffer; `sample_bytes` is the size of one sample of all sessions."""
    if options.form != "auto" or window.buffer_size == 0:
        return options.form == "shifted" or window.buffer_size == 0
    # A step of one sample reads no sample twice. In longer steps windows overlap, and a ring may write its chunk twice.
    read = window.kernel_size * options.chunk
    overlaps = options.chunk > 1 and 2 * read >= window.buffer_size + options.chunk
    return overlaps and _exceeds(read * sample_bytes, MAX_GATHER_BYTES)


def _exceeds(size: Any, limit: int) -> bool:
    """Whether a size exceeds a limit. A symbolic batch of jax.export may be of any size, so it counts as exceeding."""
    return is_symbolic(size) or size > limit


def check_not_ended(needed: int | None) -> int:
    """`needed` of a buffer. Raises `ValueError` after the end of the stream."""
    if needed is None:
        raise ValueError(ENDED)
    return needed


def count_outputs(needed: int, samples: int, stride: int) -> tuple[int, int]:
    """The number of outputs that further samples complete, and the samples that the next output needs after them."""
    outputs = max(0, (samples - needed) // stride + 1)
    return outputs, needed + outputs * stride - samples


def step_buffer(
    buffer: Buffer,
    chunk: jax.Array,
    window: StreamWindow,
    *,
    fill: float = 0,
    end: int | None = None,
    slots: jax.Array | None = None,
    interleaved: bool = True,
    max_gather_bytes: int = 0,
) -> tuple[ReadyWindows | None, Buffer]:
    """The windows that a chunk (..., samples, channels) completes, or None, and the buffer after it.

    Args:
      buffer: from `init_buffer` or the previous step.
      chunk: the next samples.
      window: as in `init_buffer`.
      fill: the value of padding.
      end: for the last chunk the number of padding samples after it, else None.
      slots: (rows,): row i of `chunk` belongs to session `slots[i]`.
      interleaved: see `combine_taps`.
      max_gather_bytes: up to this size overlapping windows are gathered; see `MAX_GATHER_BYTES`.
    """
    if isinstance(buffer, RingBuffer) and buffer.window != window:
        raise ValueError(f"the state was initialized for a convolution with {buffer.window}, got {window}")
    length, needed = chunk.shape[-2], check_not_ended(buffer.needed)
    outputs, after = count_outputs(needed, length, window.stride)
    if end is not None:
        (outputs, _), after = count_outputs(needed, length + end, window.stride), None
    if not (length or outputs):
        return None, replace(buffer, needed=after)
    chunk = chunk.astype(buffer.samples.dtype)
    # Padding at the start may complete more outputs than the chunk has samples; those need the other branch.
    if isinstance(buffer, RingBuffer) and length == buffer.chunk and (outputs - 1) * window.stride < length and not end:
        return step_ring(buffer, chunk, outputs, after, slots, interleaved)
    own = replace(buffer.extract(), step=None) if isinstance(buffer, RingBuffer) else buffer
    rows = take_rows(own, slots)
    samples = concatenate([rows.samples if isinstance(rows, ShiftBuffer) else read_in_order(rows), chunk])
    ready = None
    if outputs:
        padding = jnp.full((*samples.shape[:-2], end or 0, samples.shape[-1]), fill, samples.dtype)
        first = window.buffer_size + needed - window.reach
        ready = _read_windows(concatenate([samples, padding]), first, outputs, window, interleaved, max_gather_bytes)
    last = samples[..., length:, :]
    if isinstance(rows, ShiftBuffer):
        rows = replace(rows, samples=last, needed=after)
    else:
        rows = write_in_order(rows, last, after)
    rows = put_rows(own, rows, slots)
    return ready, buffer.insert(rows) if isinstance(buffer, RingBuffer) else rows


def _read_windows(
    samples: jax.Array, first: int, outputs: int, window: StreamWindow, interleaved: bool, max_gather_bytes: int
) -> ReadyWindows:
    """The windows of samples in temporal order, gathered if this reads fewer samples or few bytes."""
    span = (outputs - 1) * window.stride + window.reach
    read = outputs * window.kernel_size
    sample_bytes = math.prod(samples.shape[:-2]) * samples.shape[-1] * samples.dtype.itemsize
    if read >= span and _exceeds(read * sample_bytes, max_gather_bytes):
        return ReadyWindows(samples[..., first : first + span, :], window.stride, window.dilation)
    tap_span = (outputs - 1) * window.stride + 1
    starts = [first + k * window.dilation for k in range(window.kernel_size)]
    return combine_taps([samples[..., start : start + tap_span : window.stride, :] for start in starts], interleaved)
