"""Convolutions chunk by chunk, for chunks of any length.

`init` returns a state, `step` takes it and a chunk and returns the outputs that the chunk completes, and `flush`
returns the remaining outputs at the end. The concatenated outputs are the convolution of the concatenated chunks.
docs/guides/stream.md describes the states.

>>> import jconv
>>> params = {"kernel": jnp.ones((2, 1, 1))}
>>> options = {"padding": "causal", "dilation": 2}
>>> state = init(params, (), **options)
>>> y, state = step(params, state, jnp.array([[1.0], [2.0], [3.0]]), **options)
>>> y.ravel().tolist(), step(params, state, jnp.array([[4.0]]), **options)[0].ravel().tolist()
([1.0, 2.0, 4.0], [6.0])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import KERNEL, SEPARABLE_KERNELS, check_dtype, check_params
from ..functional.convolution import conv1d, conv1d_transpose, depthwise_conv1d, separable_conv1d
from ..geometry import check_positive, is_integer, pad_amounts
from ..hints import check_names
from ..planner.choose import AUTO, check_algorithm
from ..slots import check_slots, clear_unassigned, take_rows, uneven_sessions
from .buffers import (
    MAX_GATHER_BYTES,
    Buffer,
    StreamOptions,
    check_not_ended,
    count_outputs,
    init_buffer,
    step_buffer,
)
from .overlap_add import OverlapAdd, init_overlap, step_overlap
from .timing import OutputTiming, convolution_timing, overlap_sizes, transposed_timing
from .windows import StreamWindow, empty_output

State = Buffer | OverlapAdd
"""The state that a stream keeps between steps."""

Convolution = Callable[..., jax.Array]
# The kernels of each convolution. The first determines the windows.
KERNELS = {
    conv1d: KERNEL,
    depthwise_conv1d: KERNEL,
    separable_conv1d: SEPARABLE_KERNELS,
    conv1d_transpose: KERNEL,
}
WINDOW_OPTIONS = ("stride", "padding", "dilation")
TRANSPOSED_OPTIONS = (*WINDOW_OPTIONS, "output_padding")
NOT_IN_STREAMS = ("params", "x", "lengths", "segment_ids")


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
      params: the params of the convolution.
      batch_shape: the leading axes of the chunks, `()` for none.
      dtype: of the samples.
      convolution: `jconv.conv1d`, `depthwise_conv1d`, `separable_conv1d` or `conv1d_transpose`.
      form: `"shifted"`, in which a step moves all buffered samples, `"ring"`, in which it writes the chunk and reads
        the samples of the kernel elements, or `"auto"`. A transposed convolution has only one form.
      chunk: the usual number of samples per step, for which a ring is optimized. Steps of other lengths are allowed,
        and move all buffered samples.
      slots: whether the rows of the leading axis, which must be the only one, are sessions that progress
        independently; see `step`.
      options: the options of the convolution.

    Returns:
      A pytree of arrays: a `ShiftBuffer`, `RingBuffer` or `OverlapAdd`.

    Raises:
      ValueError: for values that a stream does not support, such as a `padding_mode` other than `"zeros"`.
      TypeError: for options that do not exist, and a `dtype` other than float32, float64, bfloat16 and float16.

    >>> init({"kernel": jnp.ones((3, 1, 1))}, (2,), padding="causal", form="shifted").samples.shape
    (2, 2, 1)
    """
    if is_integer(batch_shape):
        raise ValueError(f"batch_shape must be a tuple, got {batch_shape}; did you mean ({batch_shape},)?")
    batch_shape = tuple(batch_shape)
    check_dtype("dtype", np.empty(0, dtype))
    kernel_size, channels, _ = _kernel_shape(convolution, params, options)
    if convolution is conv1d_transpose:
        sizes = overlap_sizes(kernel_size, **_select(options, TRANSPOSED_OPTIONS))
        return init_overlap(sizes, batch_shape, channels, dtype)
    window = stream_window(kernel_size, **_select(options, WINDOW_OPTIONS))
    channels *= options.get("groups", 1)
    return init_buffer(window, batch_shape, channels, dtype, StreamOptions(form, chunk, slots))


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
    """The outputs that a chunk completes.

    Their number follows from shapes alone: it is `output_timing(...).count(n)` for all n samples so far, minus the
    count for the samples before the chunk.

    Args:
      params: the params of the convolution.
      state: from `init` or the previous step.
      chunk: (..., samples, channels), with any number of samples, including 0, which may change from step to step.
      convolution: as in `init`, like `options`.
      last: whether the sequence ends with this chunk; all remaining outputs are then returned.
      slots: (rows,) of distinct integers, for a state with slots: row i of the chunk belongs to session `slots[i]`,
        and other sessions do not change. For a slot that is negative or too large the outputs are undefined. With
        `last` these sessions end, and their slots must be initialized again. All sessions of a state complete
        outputs in the same steps, so a new session is stepped by itself until its first outputs.

    Returns:
      `(y, state)`, with `y` (..., outputs, out_channels).

    Raises:
      ValueError: for arrays of a wrong shape, for a step after the last, for a step with `slots` after which the next
        output needs another number of samples than before, and at the end of a `"same"` convolution if the number of
        samples is not a multiple of the stride: Keras pads the start by an amount that depends on the length.
      TypeError: for a chunk that is not of a floating type.

    >>> params, options = {"kernel": jnp.ones((3, 1, 1))}, {"padding": "same"}
    >>> state = init(params, (), **options)
    >>> y, state = step(params, state, jnp.array([[1.0], [2.0], [4.0]]), **options)
    >>> y.ravel().tolist(), step(params, state, jnp.array([[8.0]]), last=True, **options)[0].ravel().tolist()
    ([3.0, 7.0], [14.0, 12.0])
    """
    shape = np.shape(chunk)
    if len(shape) < 2:
        raise ValueError(f"step takes a chunk of shape (..., samples, channels), got shape {shape}")
    chunk = jnp.asarray(chunk)
    if slots is None:
        return resume(params, state, chunk, convolution=convolution, last=last, **options)
    slots = check_slots(slots, shape[0])
    chunk = clear_unassigned(chunk, slots, state)
    if last:
        # The sessions in `slots` are stepped separately, so that the state of the others stays as it is.
        rows = take_rows(state, slots)
        return resume(params, rows, chunk, convolution=convolution, last=True, **options)[0], state
    y, after = resume(params, state, chunk, convolution=convolution, slots=slots, **options)
    if jax.tree.structure(after) != jax.tree.structure(state):
        raise uneven_sessions(1 if convolution is conv1d_transpose else options.get("stride", 1))
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
    """Like `step`, for a convolution inside a larger network, which checks `slots` for all of its layers.

    Args:
      params, state, chunk, convolution, last: see `step`; `chunk` is a JAX array, and `options` are as in `init`.
      slots: see `step`, but already checked: int32, with a number out of bounds for rows without a session. Not
        together with `last`.

    Returns:
      `(y, state)`; see `step`.

    Raises:
      ValueError: see `step`, but a step after which outputs need another number of samples is allowed.
      TypeError: see `step`.

    >>> params = {"kernel": jnp.ones((2, 1, 1))}
    >>> y, state = resume(params, init(params, (3,), slots=True), jnp.ones((1, 2, 1)), slots=jnp.array([1]))
    >>> y.shape
    (1, 1, 1)
    """
    check_dtype("chunk", chunk)
    _check_chunk(chunk, state, convolution, params, slots is not None)
    if isinstance(state, OverlapAdd):
        sizes = overlap_sizes(np.shape(params["kernel"])[0], **_select(options, TRANSPOSED_OPTIONS))
        rest = _omit(options, ("padding", "output_padding"))
        return step_overlap(state, params, chunk, sizes, last=last, slots=slots, **rest)
    window = stream_window(_kernel_shape(convolution, params, options)[0], **_select(options, WINDOW_OPTIONS))
    end = end_padding(window, options.get("padding", "valid"), state.needed, chunk.shape[-2]) if last else None
    interleaved = convolution is conv1d and options.get("groups", 1) == 1
    ready, state = step_buffer(
        state, chunk, window, end=end, slots=slots, interleaved=interleaved, max_gather_bytes=MAX_GATHER_BYTES
    )
    rest = _omit(options, WINDOW_OPTIONS)
    if ready is None:
        return empty_output(lambda x: convolution(params, x, **rest), chunk, window.kernel_size), state
    return convolution(params, ready.samples, stride=ready.stride, dilation=ready.dilation, **rest), state


def flush(params: Mapping[str, Any], state: State, **options: Any) -> jax.Array:
    """The remaining outputs at the end of the sequence: the outputs of a last step without samples.

    Args:
      params: the params of the convolution.
      state: from the last step.
      options: `convolution` and its options, as in `init`.

    Returns:
      (..., outputs, out_channels).

    Raises:
      ValueError: after a step with `last=True`, and for a `"same"` convolution if the number of samples is no multiple
        of the stride; see `step`.

    >>> params = {"kernel": jnp.ones((3, 1, 1))}
    >>> y, state = step(params, init(params, (), padding="same"), jnp.ones((4, 1)), padding="same")
    >>> y.ravel().tolist(), flush(params, state, padding="same").ravel().tolist()
    ([2.0, 3.0, 3.0], [2.0])
    """
    leading, channels, dtype = _chunk_type(state, params)
    return step(params, state, jnp.zeros((*leading, 0, channels), dtype), last=True, **options)[0]


def latency(params: Mapping[str, Any], *, convolution: Convolution = conv1d, **options: Any) -> Fraction:
    """The largest delay of an output in input samples: 0 for causal padding, `reach - 1` for valid.

    Args:
      params: the params of the convolution, of which only shapes are read.
      convolution: as in `init`, like `options`.

    Returns:
      An exact fraction, negative if outputs are available before the samples at their positions.

    Raises:
      ValueError: as `init`.

    >>> latency({"kernel": np.ones((5, 1, 1))}, padding="same", dilation=3)
    Fraction(6, 1)
    """
    return output_timing(params, convolution=convolution, **options).latency


def output_timing(params: Mapping[str, Any], *, convolution: Convolution = conv1d, **options: Any) -> OutputTiming:
    """The number of outputs that are available after each number of input samples, their rate and their latency.

    `jconv.streaming.pace` is an alias.

    Args:
      params: the params of the convolution, of which only shapes are read.
      convolution: as in `init`, like `options`.

    Returns:
      An object with the method `count(samples)`, the number of outputs available after that many samples if the
      sequence continues, and the properties `ratio`, output samples per input sample, and `latency`.

    Raises:
      ValueError: as `init`.

    >>> timing = output_timing({"kernel": np.ones((5, 1, 1))}, stride=2)
    >>> timing.count(4), timing.count(9), timing.ratio, timing.latency
    (0, 3, Fraction(1, 2), Fraction(4, 1))
    """
    size = _kernel_shape(convolution, params, options)[0]
    if convolution is conv1d_transpose:
        return transposed_timing(size, **_select(options, TRANSPOSED_OPTIONS))
    return convolution_timing(size, **_select(options, WINDOW_OPTIONS))


pace = output_timing


def stream_window(kernel_size: int, *, stride: int = 1, padding: Any = "valid", dilation: int = 1) -> StreamWindow:
    """The windows of a convolution or of pooling in a stream."""
    for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
        check_positive(name, value)
    window = StreamWindow(kernel_size, stride, dilation)
    delay = convolution_timing(kernel_size, stride=stride, padding=padding, dilation=dilation).delay
    return window._replace(low=window.reach - 1 - delay)


def end_padding(window: StreamWindow, padding: Any, needed: int | None, samples: int) -> int:
    """The number of padding samples after a last chunk of `samples` samples.

    Raises `ValueError` if `"same"` pads the start of a sequence of this length by another amount than the stream.
    """
    if padding != "same":
        options = {"stride": window.stride, "padding": padding, "dilation": window.dilation}
        return pad_amounts(window.reach, window.kernel_size, **options)[1]
    _, after = count_outputs(check_not_ended(needed), samples, window.stride)
    first = window.reach - window.low
    missing = (after - first) % window.stride
    if max(window.reach - window.stride + missing, 0) // 2 != window.low:
        raise ValueError(
            f"padding 'same' with stride {window.stride} pads the start by another amount if the length is not a "
            f"multiple of the stride; end with {missing} samples more, or use causal padding"
        )
    outputs = (first + missing - after) // window.stride
    return max(0, after + (outputs - 1) * window.stride) if outputs > 0 else 0


def _kernel_shape(convolution: Convolution, params: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of the kernel that determines the windows. Raises an error for invalid arguments of a stream."""
    if convolution not in KERNELS:
        names = ", ".join(known.__name__ for known in KERNELS)
        raise ValueError(f"convolution must be one of jconv's {names}, got {convolution!r}")
    check_params(params, KERNELS[convolution], f"a stream of {convolution.__name__}")
    check_names(f"a stream of {convolution.__name__}", options, _option_names(convolution))
    check_algorithm(options.get("algorithm", AUTO))
    mode = options.get("padding_mode", "zeros")
    if mode != "zeros":
        raise ValueError(f"padding_mode must be zeros in a stream, whose ends are not known, got {mode!r}")
    return np.shape(params[next(iter(KERNELS[convolution]))])


@cache
def _option_names(convolution: Convolution) -> list[str]:
    """The options of a convolution that have a meaning in a stream."""
    return [name for name in inspect.signature(convolution).parameters if name not in NOT_IN_STREAMS]


def _chunk_type(state: State, params: Mapping[str, Any]) -> tuple[tuple[int, ...], int, Any]:
    """The leading axes, channels and dtype of the chunks of a stream."""
    if isinstance(state, OverlapAdd):
        return state.sums.shape[:-2], np.shape(params["kernel"])[2], jnp.dtype(state.dtype)
    if not isinstance(state, Buffer):
        raise ValueError(f"state must be from jconv.streaming.init, got {type(state).__name__}")
    return state.samples.shape[:-2], state.samples.shape[-1], state.samples.dtype


def _check_chunk(chunk: jax.Array, state: State, convolution: Convolution, params: Any, slots: bool) -> None:
    if isinstance(state, OverlapAdd) != (convolution is conv1d_transpose):
        raise ValueError(f"state must be from init with convolution={convolution.__name__}, got {type(state).__name__}")
    leading, channels, dtype = _chunk_type(state, params)
    # With slots, a chunk may have any number of rows.
    free = 1 if slots else 0
    if chunk.ndim != len(leading) + 2 or chunk.shape[free:-2] != leading[free:] or chunk.shape[-1] != channels:
        axes = ", ".join([*(["rows"] if slots else map(str, leading)), "samples", str(channels)])
        raise ValueError(f"chunk must be of shape ({axes}), got {chunk.shape}")
    if jnp.promote_types(chunk.dtype, dtype) != dtype:
        raise ValueError(
            f"chunk must have the stream's dtype {dtype}, got {chunk.dtype}; cast it or give init its dtype"
        )


def _select(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def _omit(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
