"""The convolutions a chunk at a time: the numbers of the whole sequence, in steps of any length.

`init` makes a state, `step` takes it and a chunk and gives the outputs that are whole with it, `flush` those that are
left at the end. All the outputs one after the other are the convolution of all the chunks one after the other.
docs/guides/stream.md says what a state holds.

>>> import jconv
>>> params = {"kernel": jnp.ones((2, 1, 1))}
>>> options = {"padding": "causal", "dilation": 2}
>>> state = init(params, (), **options)
>>> y, state = step(params, state, jnp.array([[1.0], [2.0], [3.0]]), **options)
>>> y.ravel().tolist(), step(params, state, jnp.array([[4.0]]), **options)[0].ravel().tolist()
([1.0, 2.0, 4.0], [6.0])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import check_dtype
from ..functional.convolution import conv1d, conv1d_transpose, depthwise_conv1d, separable_conv1d
from ..geometry import check_positive, pad_amounts
from ..planner import AUTO, check_algorithm
from ..slots import named_slots, only_named, take_rows, uneven
from . import overlap_add
from .buffers import LITTLE, Form, Shifted, advance, due, start
from .overlap_add import Overlap, Tail
from .ring_buffer import Ring
from .timing import Pace, convolution_pace, transposed_pace
from .windows import Taps

State = Shifted | Ring | Overlap
Convolution = Callable[..., jax.Array]
KERNELS = {conv1d: "kernel", depthwise_conv1d: "kernel", separable_conv1d: "depthwise_kernel"}
WHERE = ("stride", "padding", "dilation")
WHERE_TRANSPOSED = (*WHERE, "output_padding")


def init(
    params: Mapping[str, Any],
    batch_shape: Sequence[int],
    *,
    dtype: Any = jnp.float32,
    convolution: Convolution = conv1d,
    form: str = "auto",
    chunk: int = 1,
    slots: bool = False,
    **options: Any,
) -> State:
    """The state before the first sample.

    Args:
      params: those of the convolution.
      batch_shape: the leading axes of the chunks, `()` for none.
      dtype: of the samples.
      convolution: `jconv.conv1d`, `depthwise_conv1d`, `separable_conv1d` or `conv1d_transpose`; `options` are its own.
      form: `"shifted"`, where a step moves all samples that are kept, `"ring"`, where it writes the chunk and reads the
        taps, or `"auto"`. A transposed convolution has one form.
      chunk: samples of the usual step, for which a ring is made; others are right too, and move all samples.
      slots: whether the leading axis, then the only one, is sessions that are each at their own time; see `step`.

    Returns:
      A pytree of arrays: `jconv.history.Shifted`, `jconv.ring.Ring` or `jconv.overlap.Overlap`.

    Raises:
      ValueError: for options that mean nothing or cannot be streamed: a `padding_mode` other than `"zeros"`.
      TypeError: for a `dtype` other than float32, float64, bfloat16 and float16.

    >>> init({"kernel": jnp.ones((3, 1, 1))}, (2,), padding="causal", form="shifted").samples.shape
    (2, 2, 1)
    """
    batch_shape = tuple(batch_shape)
    form_ = Form(form, chunk, slots)
    check_dtype("dtype", np.empty(0, dtype))
    if convolution is conv1d_transpose:
        _check(convolution, options)
        tail = Tail.of(np.shape(params["kernel"])[0], **_some(options, WHERE_TRANSPOSED))
        return overlap_add.begin(tail, batch_shape, np.shape(params["kernel"])[1], dtype)
    taps = _taps(convolution, params, options)
    kernel = np.shape(params[KERNELS[convolution]])
    channels = kernel[1] * options.get("groups", 1)
    return start(taps, batch_shape, channels, dtype, form_)


def step(
    params: Mapping[str, Any],
    state: State,
    chunk: Any,
    *,
    convolution: Convolution = conv1d,
    last: bool = False,
    slots: Any = None,
    **options: Any,
) -> tuple[jax.Array, State]:
    """`(y, state)`: the outputs that are whole with this chunk.

    How many those are is known from shapes alone: `pace(...).count` of all samples so far, less those before.
    `convolution` and `options` are those of `init`.

    Args:
      params: those of the convolution.
      state: of `init` or the step before.
      chunk: (..., samples, channels), of any length, none included, which may differ from step to step.
      last: whether the sequence ends with the chunk: then all outputs come that are left.
      slots: (rows,) of integers for a state with slots: row i of the chunk is the next of session `slots[i]`, and only
        those sessions change. A number that is negative or too large is nobody's: its outputs mean nothing. No number
        may be there twice. With `last` the sessions end that are named; their slots must be begun anew. The sessions
        of a state wait for their next outputs together: one begins by itself until its first come.

    Raises:
      ValueError: for arrays that do not fit, for a step after the last, for a step with `slots` after which the next
        output has to wait for another number of samples than before, and at the end of a `"same"` convolution whose
        sequence does not fill up the stride, where Keras pads the start by an amount that could not be known.
      TypeError: for a chunk of another type than those of `init`.
    """
    shape = np.shape(chunk)
    if len(shape) < 2:
        raise ValueError(f"step takes a chunk of shape (..., samples, channels), got shape {shape}")
    chunk = jnp.asarray(chunk)
    if slots is None:
        return resume(params, state, chunk, convolution=convolution, last=last, **options)
    named = named_slots(slots, shape[0])
    chunk = only_named(chunk, named, state)
    if last:
        # They end by themselves: for the sessions in other slots nothing has happened.
        rows = take_rows(state, named)
        return resume(params, rows, chunk, convolution=convolution, last=True, **options)[0], state
    y, after = resume(params, state, chunk, convolution=convolution, slots=named, **options)
    if jax.tree.structure(after) != jax.tree.structure(state):
        raise uneven(1 if convolution is conv1d_transpose else options.get("stride", 1))
    return y, after


def resume(
    params: Mapping[str, Any],
    state: State,
    chunk: jax.Array,
    *,
    convolution: Convolution = conv1d,
    last: bool = False,
    slots: jax.Array | None = None,
    **options: Any,
) -> tuple[jax.Array, State]:
    """`step` of a layer in a network, which has looked at `slots` and at what the whole network then waits for."""
    check_dtype("chunk", chunk)
    _check_chunk(chunk, state, convolution, params, slots is not None)
    if isinstance(state, Overlap):
        tail = Tail.of(np.shape(params["kernel"])[0], **_some(options, WHERE_TRANSPOSED))
        rest = {name: value for name, value in options.items() if name not in ("padding", "output_padding")}
        return overlap_add.add(state, params, chunk, tail, last=last, slots=slots, **rest)
    taps = _taps(convolution, params, options)
    end = end_padding(taps, options.get("padding", "valid"), state.wait, chunk.shape[-2]) if last else None
    interleaved = convolution is conv1d and options.get("groups", 1) == 1
    ready, state = advance(state, chunk, taps, end=end, slots=slots, interleaved=interleaved, alone=LITTLE)
    rest = {name: value for name, value in options.items() if name not in WHERE}
    if ready is None:
        return _nothing(params, chunk, convolution, taps, rest), state
    return convolution(params, ready.samples, stride=ready.stride, dilation=ready.dilation, **rest), state


def flush(params: Mapping[str, Any], state: State, **options: Any) -> jax.Array:
    """The outputs that are left when the sequence has ended: a last step with no samples.

    >>> params = {"kernel": jnp.ones((3, 1, 1))}
    >>> y, state = step(params, init(params, (), padding="same"), jnp.ones((4, 1)), padding="same")
    >>> y.ravel().tolist(), flush(params, state, padding="same").ravel().tolist()
    ([2.0, 3.0, 3.0], [2.0])
    """
    if isinstance(state, Overlap):
        channels, like = np.shape(params["kernel"])[2], state.sums
    else:
        channels, like = state.samples.shape[-1], state.samples
    dtype = state.dtype if isinstance(state, Overlap) else like.dtype
    return step(params, state, jnp.zeros((*like.shape[:-2], 0, channels), dtype), last=True, **options)[0]


def latency(params: Mapping[str, Any], *, convolution: Convolution = conv1d, **options: Any) -> Fraction:
    """How many input samples the outputs trail behind: 0 for causal, `reach - 1` for valid.

    >>> latency({"kernel": np.ones((5, 1, 1))}, padding="same", dilation=3)
    Fraction(6, 1)
    """
    return pace(params, convolution=convolution, **options).latency


def pace(params: Mapping[str, Any], *, convolution: Convolution = conv1d, **options: Any) -> Pace:
    """How outputs follow inputs: `pace(...).count(n)` outputs are there after n samples, before the end.

    >>> pace({"kernel": np.ones((5, 1, 1))}, stride=2).count(9)
    3
    """
    _check(convolution, options)
    size = np.shape(params[KERNELS.get(convolution, "kernel")])[0]
    if convolution is conv1d_transpose:
        return transposed_pace(size, **_some(options, WHERE_TRANSPOSED))
    return convolution_pace(size, **_some(options, WHERE))


def taps_of(kernel_size: int, *, stride: int = 1, padding: Any = "valid", dilation: int = 1) -> Taps:
    """The windows of a convolution or of pooling in a stream."""
    for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
        check_positive(name, value)
    known = Taps(kernel_size, stride, dilation)
    lead = convolution_pace(kernel_size, stride=stride, padding=padding, dilation=dilation).lead
    return known._replace(early=known.reach - 1 - lead)


def end_padding(taps: Taps, padding: Any, wait: int | None, samples: int) -> int:
    """How many samples follow the last chunk, of `samples`, for the outputs of the whole sequence.

    Raises `ValueError` where `"same"` pads the start of this length by another amount than the stream has.
    """
    if padding != "same":
        return pad_amounts(taps.reach, taps.kernel_size, stride=taps.stride, padding=padding, dilation=taps.dilation)[1]
    _, after = due(wait, samples, taps.stride)
    first = taps.reach - taps.early
    missing = (after - first) % taps.stride
    if max(taps.reach - taps.stride + missing, 0) // 2 != taps.early:
        raise ValueError(
            f"a same convolution of stride {taps.stride} pads the start of a sequence that is no multiple of it by "
            f"another amount; end with {missing} samples more, or use causal padding"
        )
    outputs = (first + missing - after) // taps.stride
    return max(0, after + (outputs - 1) * taps.stride) if outputs > 0 else 0


def _taps(convolution: Convolution, params: Mapping[str, Any], options: Mapping[str, Any]) -> Taps:
    _check(convolution, options)
    return taps_of(np.shape(params[KERNELS[convolution]])[0], **_some(options, WHERE))


def _check(convolution: Convolution, options: Mapping[str, Any]) -> None:
    if convolution is not conv1d_transpose and convolution not in KERNELS:
        names = ", ".join(known.__name__ for known in (*KERNELS, conv1d_transpose))
        raise ValueError(f"convolution must be one of jconv's {names}, got {convolution!r}")
    check_algorithm(options.get("algorithm", AUTO))
    mode = options.get("padding_mode", "zeros")
    if mode != "zeros":
        raise ValueError(f"padding_mode must be zeros in a stream, whose ends are not known, got {mode!r}")


def _check_chunk(chunk: jax.Array, state: State, convolution: Convolution, params: Any, slots: bool) -> None:
    transposed = isinstance(state, Overlap)
    if transposed != (convolution is conv1d_transpose):
        raise ValueError(
            f"state must be one of init with convolution={convolution.__name__}, got {type(state).__name__}"
        )
    kept, dtype = (
        (state.sums, jnp.dtype(state.dtype)) if isinstance(state, Overlap) else (state.samples, state.samples.dtype)
    )
    channels = np.shape(params["kernel"])[2] if transposed else kept.shape[-1]
    axes = slice(1, -2) if slots else slice(None, -2)
    if chunk.ndim != kept.ndim or chunk.shape[axes] != kept.shape[axes] or chunk.shape[-1] != channels:
        leading = "rows" if slots else ", ".join(map(str, kept.shape[:-2]))
        raise ValueError(
            f"chunk must be of shape ({leading + ', ' if leading else ''}samples, {channels}), got {chunk.shape}"
        )
    if jnp.promote_types(chunk.dtype, dtype) != dtype:
        raise ValueError(
            f"chunk must be of the stream's type {dtype}, got {chunk.dtype}; cast it or give init its dtype"
        )


def _nothing(params: Any, chunk: jax.Array, convolution: Convolution, taps: Taps, options: Any) -> jax.Array:
    """No outputs, of the shape and type that they have."""
    one = jax.ShapeDtypeStruct((*chunk.shape[:-2], taps.kernel_size, chunk.shape[-1]), chunk.dtype)
    y = jax.eval_shape(lambda params, x: convolution(params, x, **options), params, one)
    return jnp.zeros((*y.shape[:-2], 0, y.shape[-1]), y.dtype)


def _some(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}
