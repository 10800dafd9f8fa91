"""Pools: many sessions in one stream, which start and end independently and are stepped together.

The rows of a pool's batch axis are slots, one per session. A step with `slots=` (`jconv.streaming.step`,
`Model.stream_step`) reads and writes only the slots that it names. A chunk has a fixed number of rows; a row without a
session names slot -1. Donate the pool to the step, `jax.jit(step, donate_argnums=...)`, so that it is updated in place.

>>> import jconv
>>> model = jconv.sequential([jconv.layers.Conv1D(1, 2, padding="causal", use_bias=False)], input_shape=(None, 1))
>>> params, state = {"conv1d": {"kernel": jnp.ones((2, 1, 1))}}, {}
>>> new = model.stream_init(params, state, (1,), slots=True)
>>> sessions = pool(new, 3)
>>> y, sessions = model.stream_step(params, state, sessions, jnp.array([[[1.0]], [[5.0]]]), slots=jnp.array([2, -1]))
>>> y, sessions = model.stream_step(params, state, sessions, jnp.array([[[2.0]], [[7.0]]]), slots=jnp.array([2, 0]))
>>> y.ravel().tolist()
[3.0, 7.0]
>>> sessions = put(sessions, new, jnp.array([2]))  # a new session in slot 2
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["pool", "put", "take"]

OUT_OF_BOUNDS = np.iinfo(np.int32).max


def pool(stream: Any, slots: int) -> Any:
    """A pool whose slots are all copies of one stream.

    Args:
      stream: a state from `jconv.streaming.init` or `Model.stream_init` with a batch of 1 and `slots=True`.
      slots: the number of slots.

    Returns:
      A pytree like `stream` with `slots` rows.

    Raises:
      ValueError: for a stream with another batch, or without `slots=True`.

    >>> import jconv
    >>> stream = jconv.streaming.init({"kernel": jnp.ones((3, 1, 1))}, (1,), slots=True)
    >>> pool(stream, 100).samples.shape
    (100, 3, 1)
    """
    for array in jax.tree.leaves(stream):
        if array.ndim < 1 or array.shape[0] != 1:
            raise ValueError(
                f"stream must have 1 row and be initialized with slots=True, got an array of shape {array.shape}"
            )
    return jax.tree.map(lambda array: jnp.repeat(array, slots, axis=0), stream)


def put(pool: Any, stream: Any, slots: Any) -> Any:
    """Write streams into slots of a pool, for example to start new sessions.

    Args:
      pool: from `pool`.
      stream: a stream with one row per slot, or one row for all slots; `take` returns such streams.
      slots: (rows,) of integers. Slots that do not exist, such as -1, are ignored.

    Returns:
      The pool with these rows replaced.

    Raises:
      ValueError: for a stream of another network or other options, and for one that needs another number of samples for
        its next output than the pool: with latency, step a new stream by itself until its first output.

    >>> import jconv
    >>> new = jconv.streaming.init({"kernel": jnp.ones((2, 1, 1))}, (1,), slots=True, padding="causal", form="shifted")
    >>> sessions = pool(new, 3)
    >>> used = jax.tree.map(jnp.ones_like, new)
    >>> put(sessions, used, [1]).samples.ravel().tolist()
    [0.0, 1.0, 0.0]
    """
    slots = check_slots(slots)
    if jax.tree.structure(pool) != jax.tree.structure(stream):
        raise ValueError(
            "stream must have the same arrays as the pool and need as many samples for its next output: initialize it "
            "with the pool's options, and step it by itself until steps no longer change its structure"
        )
    for old, new in zip(jax.tree.leaves(pool), jax.tree.leaves(stream), strict=True):
        if old.shape[1:] != new.shape[1:]:
            raise ValueError(f"stream must have rows of the pool's shapes, {old.shape[1:]}, got {new.shape[1:]}")
    rows = jax.tree.map(lambda array: jnp.broadcast_to(array, (*slots.shape, *array.shape[1:])), stream)
    return put_rows(pool, rows, slots)


def take(pool: Any, slots: Any) -> Any:
    """Read streams from slots of a pool, for example to save them, or to move them to another pool with `put`.

    Args:
      pool: from `pool`.
      slots: (rows,) of integers.

    Returns:
      A stream with one row per slot, zeros for a slot that does not exist.

    Raises:
      ValueError: unless `slots` are integers (rows,).

    >>> import jconv
    >>> stream = jconv.streaming.init({"kernel": jnp.ones((3, 1, 1))}, (1,), slots=True)
    >>> take(pool(stream, 100), jnp.array([7, 20])).samples.shape
    (2, 3, 1)
    """
    return take_rows(pool, check_slots(slots))


def take_rows(tree: Any, slots: jax.Array | None) -> Any:
    """The rows `slots` of every array, zeros for a slot that does not exist; all rows for None."""
    if slots is None:
        return tree
    return jax.tree.map(lambda array: array.at[slots].get(mode="fill", fill_value=0), tree)


def put_rows(tree: Any, rows: Any, slots: jax.Array | None) -> Any:
    """`tree` with `rows` in the slots that exist, and with the structure of `rows`; for None `rows` itself."""
    if slots is None:
        return rows
    # The structure contains the number of samples that the next output needs.
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(rows), strict=True)
    updated = [array.at[slots].set(new.astype(array.dtype), mode="drop") for array, new in leaves]
    return jax.tree.unflatten(jax.tree.structure(rows), updated)


def clear_unassigned(chunk: jax.Array, slots: jax.Array, pool: Any) -> jax.Array:
    """`chunk` (rows, ...) with zeros in rows without a session, so that these rows do not affect any derivative."""
    count = min((array.shape[0] for array in jax.tree.leaves(pool)), default=OUT_OF_BOUNDS)
    assigned = (slots < count).reshape(-1, *(1,) * (chunk.ndim - 1))
    return jnp.where(assigned, chunk, jnp.zeros((), chunk.dtype))


def uneven_sessions(samples: int = 1) -> ValueError:
    """The error for a step after which outputs need another number of samples than before."""
    steps = f", and step by multiples of {samples} samples" if samples > 1 else ""
    return ValueError(
        "with slots, a step must not change the number of samples that the next output needs: step a new session by "
        f"itself, and put it into the pool when steps no longer change the structure of its stream{steps}"
    )


def check_slots(slots: Any, rows: int | None = None) -> jax.Array:
    """`slots` (rows,) as int32, with negative slots replaced by one that is out of bounds.

    Raises `ValueError` for another shape and for values that are not integers.
    """
    slots = jnp.asarray(slots)
    if slots.ndim != 1 or rows not in (None, len(slots)) or not jnp.issubdtype(slots.dtype, jnp.integer):
        size = "rows" if rows is None else rows
        raise ValueError(f"slots must be integers of shape ({size},), got {slots.dtype} of shape {slots.shape}")
    return jnp.where(slots < 0, OUT_OF_BOUNDS, slots).astype(jnp.int32)
