"""Scans over time with a mask, for all recurrent layers.

A step function takes the inputs of one time step and the states, and returns the new states; the first state is the
output. A masked step keeps the states. `scan` is the implementation in JAX, `scan_numpy` the definition in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ragged import append_axes
from ..types import Array

States = tuple[Any, ...]


@dataclass(frozen=True)
class ScanOptions:
    """Options of a scan, as in `Recurrent`.

    A masked step repeats the previous output (at first, the initial state), or returns zero with
    `zero_output_for_mask`. With `unroll` its output is zero before the first unmasked step, as in Keras, and
    `zero_output_for_mask` has no effect.
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
    """Run `step` over time.

    Args:
        step: takes the inputs of one step and the states, and returns new states of the same shapes and dtypes.
        xs: a pytree of arrays (time, ...).
        states: the initial states.
        mask: booleans (time, batch), false for masked steps, or None.
        options: the options of the scan.
        resets: booleans (time, batch), or None. Before a step where they are true, the states are set to the initial
            states.

    Returns `(output, states)`. The output is (time, batch, ...) in the order of computation, or (batch, ...) of the
    last step.

    >>> running_sum = lambda x, states: (states[0] + x,)
    >>> xs, start = jnp.array([[1.0], [2.0], [4.0]]), (jnp.zeros(1),)
    >>> scan(running_sum, xs, start, None, ScanOptions(return_sequences=True))[0].ravel().tolist()
    [1.0, 3.0, 7.0]
    >>> scan(running_sum, xs, start, jnp.array([[True], [False], [True]]), ScanOptions())[0].tolist()
    [5.0]
    """

    start = states

    def body(states: States, inputs: Any) -> tuple[States, Any]:
        x, is_unmasked, is_reset = inputs
        if is_reset is not None:
            pairs = zip(start, states, strict=True)
            states = tuple(jnp.where(append_axes(is_reset, old), first, old) for first, old in pairs)
        after = step(x, states)
        if is_unmasked is not None:
            pairs = zip(after, states, strict=True)
            after = tuple(jnp.where(append_axes(is_unmasked, new), new, old) for new, old in pairs)
        return after, after[0] if options.return_sequences else None

    states, outputs = jax.lax.scan(body, states, (xs, mask, resets), reverse=options.go_backwards)
    output_mask = _output_mask(mask, options)
    if not options.return_sequences:
        last = 0 if options.go_backwards else -1
        return states[0] if output_mask is None else _zero_unless(output_mask[last], states[0]), states
    outputs = outputs if output_mask is None else _zero_unless(output_mask, outputs)
    return jnp.flip(outputs, 0) if options.go_backwards else outputs, states


def _output_mask(mask: jax.Array | None, options: ScanOptions) -> jax.Array | None:
    """The steps (time, batch) whose output is the first state; other outputs are zero. None if there are no others."""
    if mask is not None and options.unroll:
        return jax.lax.cummax(mask.astype(jnp.int8), 0, reverse=options.go_backwards) > 0
    return mask if options.zero_output_for_mask else None


def _zero_unless(output_mask: jax.Array, outputs: jax.Array) -> jax.Array:
    return jnp.where(append_axes(output_mask, outputs), outputs, 0)


def scan_numpy(
    step: Callable[[Array, tuple[Array, ...]], tuple[Array, ...]],
    x: Array,
    states: tuple[Array, ...],
    mask: Array | None,
    options: ScanOptions,
) -> tuple[Array, tuple[Array, ...]]:
    """`scan` in NumPy, for batch-first arrays: `x` (batch, time, ...), `mask` (batch, time) and the outputs."""
    times = range(x.shape[1])
    outputs = []
    masked_output = np.zeros_like(states[0]) if options.unroll else states[0]
    for time in reversed(times) if options.go_backwards else times:
        after = step(x[:, time], states)
        output = after[0]
        if mask is not None:
            is_unmasked = append_axes(mask[:, time], output)
            zero = options.zero_output_for_mask and not options.unroll
            output = np.where(is_unmasked, output, 0 if zero else masked_output)
            after = tuple(np.where(is_unmasked, new, old) for new, old in zip(after, states, strict=True))
        states = after
        masked_output = output if options.unroll else states[0]
        outputs.append(output)
    return np.stack(outputs, axis=1) if options.return_sequences else outputs[-1], states
