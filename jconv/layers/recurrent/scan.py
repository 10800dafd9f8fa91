"""Steps along time, with a mask: what every recurrent layer does with what it computes in one step.

A step takes what there is at a time, and the states, and returns the new states, of which the first is its output. A
step that a mask leaves out keeps the states of the step before. `scan` is that in JAX, `scan_numpy` in NumPy, step by step
and without any thought of speed: the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..base import Array

States = tuple[Any, ...]


@dataclass(frozen=True)
class ScanOptions:
    """How the steps are gone through, and what of them is shown; the fields are those of `Recurrent`.

    The output of a step that the mask leaves out is the one before it, the initial state for the first. With
    `zero_output_for_mask` it is zero. With `unroll`, as in Keras, it is zero until the first step that counts, and
    `zero_output_for_mask` means nothing.
    """

    return_sequences: bool = False
    go_backwards: bool = False
    zero_output_for_mask: bool = False
    unroll: bool = False


def scan(
    step: Callable[[Any, States], States],
    xs: Any,
    states: States,
    mask: jax.Array | None,
    options: ScanOptions,
    resets: jax.Array | None = None,
) -> tuple[jax.Array, States]:
    """`(output, states)`: of all steps (time, batch, ...) in the order of computation, or of the last (batch, ...).

    `xs`, an array or several in tuples, has the time first, and so has `mask` (time, batch), of bool. The states that
    the step returns must be of the shape and type of those it takes. Before a step that is `resets` (time, batch), the
    states are again the first ones.

    >>> running_sum = lambda x, states: (states[0] + x,)
    >>> xs, start = jnp.array([[1.0], [2.0], [4.0]]), (jnp.zeros(1),)
    >>> scan(running_sum, xs, start, None, ScanOptions(return_sequences=True))[0].ravel().tolist()
    [1.0, 3.0, 7.0]
    >>> scan(running_sum, xs, start, jnp.array([[True], [False], [True]]), ScanOptions())[0].tolist()
    [5.0]
    """

    start = states

    def body(states: States, now: Any) -> tuple[States, Any]:
        x, counts, begins = now
        if begins is not None:
            pairs = zip(start, states, strict=True)
            states = tuple(jnp.where(_append_axes(begins, old), first, old) for first, old in pairs)
        after = step(x, states)
        if counts is not None:
            after = tuple(
                jnp.where(_append_axes(counts, new), new, old) for new, old in zip(after, states, strict=True)
            )
        return after, after[0] if options.return_sequences else None

    states, outputs = jax.lax.scan(body, states, (xs, mask, resets), reverse=options.go_backwards)
    shown = _output_mask(mask, options)
    if not options.return_sequences:
        last = 0 if options.go_backwards else -1
        return states[0] if shown is None else _zero_unless(shown[last], states[0]), states
    outputs = outputs if shown is None else _zero_unless(shown, outputs)
    return jnp.flip(outputs, 0) if options.go_backwards else outputs, states


def _output_mask(mask: jax.Array | None, options: ScanOptions) -> jax.Array | None:
    """The steps (time, batch) whose output is the first state; that of the others is zero. None for all of them."""
    if mask is not None and options.unroll:
        return jax.lax.cummax(mask.astype(jnp.int8), 0, reverse=options.go_backwards) > 0
    return mask if options.zero_output_for_mask else None


def _append_axes(counts: Any, array: Any) -> Any:
    """`counts` with axes of size 1 for those that only `array` has."""
    return counts.reshape(counts.shape + (1,) * (array.ndim - counts.ndim))


def _zero_unless(shown: jax.Array, outputs: jax.Array) -> jax.Array:
    return jnp.where(_append_axes(shown, outputs), outputs, 0)


def scan_numpy(
    step: Callable[[Array, tuple[Array, ...]], tuple[Array, ...]],
    x: Array,
    states: tuple[Array, ...],
    mask: Array | None,
    options: ScanOptions,
) -> tuple[Array, tuple[Array, ...]]:
    """As `scan`, but `x` (batch, time, ...), `mask` (batch, time) and the outputs have the batch first."""
    times = range(x.shape[1])
    outputs = []
    shown = np.zeros_like(states[0]) if options.unroll else states[0]
    for time in reversed(times) if options.go_backwards else times:
        after = step(x[:, time], states)
        output = after[0]
        if mask is not None:
            counts = _append_axes(mask[:, time], output)
            zero = options.zero_output_for_mask and not options.unroll
            output = np.where(counts, output, 0 if zero else shown)
            after = tuple(np.where(counts, new, old) for new, old in zip(after, states, strict=True))
        states = after
        shown = output if options.unroll else states[0]
        outputs.append(output)
    return np.stack(outputs, axis=1) if options.return_sequences else outputs[-1], states
