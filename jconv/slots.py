"""Many sessions in one array: streams that begin and end at any time, stepped together by their slots.

A pool is a stream whose batch axis is slots. A step reads and writes the rows that it names (`slots=` of
`jconv.streaming.step` and `Model.stream_step`), and no others; a row for nobody names a slot that is nowhere, -1.
Donate the pool to the step (`jax.jit(step, donate_argnums=...)`) and it is updated where it lies.

>>> import jconv
>>> model = jconv.sequential([jconv.layers.Conv1D(1, 2, padding="causal", use_bias=False)], input_shape=(None, 1))
>>> params, state = {"conv1d": {"kernel": jnp.ones((2, 1, 1))}}, {}
>>> fresh = model.stream_init(params, state, (1,), slots=True)
>>> sessions = pool(fresh, 3)
>>> y, sessions = model.stream_step(params, state, sessions, jnp.array([[[1.0]], [[5.0]]]), slots=jnp.array([2, -1]))
>>> y, sessions = model.stream_step(params, state, sessions, jnp.array([[[2.0]], [[7.0]]]), slots=jnp.array([2, 0]))
>>> y.ravel().tolist()
[3.0, 7.0]
>>> sessions = put(sessions, fresh, jnp.array([2]))  # another session begins in slot 2
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["pool", "put", "take"]


def pool(stream: Any, slots: int) -> Any:
    """A stream of so many slots, each as the one row of `stream`, which was begun with a batch of 1 and `slots=True`.

    Raises `ValueError` for another batch.
    """
    _check_rows(stream, 1)
    return jax.tree.map(lambda array: jnp.repeat(array, slots, axis=0), stream)


def put(pool: Any, stream: Any, slots: Any) -> Any:
    """The pool with the rows of `stream` in these slots: sessions begin, or come from elsewhere.

    `stream` has as many rows as `slots`, or one for all. A slot that is nowhere is passed over. Raises `ValueError` for
    a stream of another kind, which also one is that has read fewer samples than the pool's first outputs need.
    """
    slots = np.asarray(slots) if not isinstance(slots, jax.Array) else slots
    named = named_slots(slots, slots.shape[0] if slots.ndim else 1)
    if jax.tree.structure(pool) != jax.tree.structure(stream):
        raise ValueError(
            "stream must keep what the pool keeps and wait for its next outputs as long: begin it as the pool was, and "
            "step it by itself until steps leave its structure as it is"
        )
    shapes = [(a.shape[1:], b.shape[1:]) for a, b in zip(jax.tree.leaves(pool), jax.tree.leaves(stream), strict=True)]
    for wanted, got in shapes:
        if wanted != got:
            raise ValueError(f"stream must have rows of the pool's shapes, {wanted}, got {got}")
    rows = jax.tree.map(lambda array: jnp.broadcast_to(array, (*named.shape, *array.shape[1:])), stream)
    return put_rows(pool, rows, named)


def take(pool: Any, slots: Any) -> Any:
    """The streams in these slots, as a stream with a row for each: to be saved, sent or put elsewhere."""
    slots = jnp.asarray(slots)
    return take_rows(pool, named_slots(slots, slots.shape[0]))


def _check_rows(stream: Any, rows: int) -> None:
    for array in jax.tree.leaves(stream):
        if array.ndim < 1 or array.shape[0] != rows:
            raise ValueError(
                f"stream must have {rows} row and be begun with slots=True, got an array of shape {array.shape}"
            )


def take_rows(tree: Any, slots: jax.Array | None) -> Any:
    """The rows of every array that `slots` names, zeros for a slot that is nowhere; all of them for None."""
    if slots is None:
        return tree
    return jax.tree.map(lambda array: array.at[slots].get(mode="fill", fill_value=0), tree)


def put_rows(tree: Any, rows: Any, slots: jax.Array | None) -> Any:
    """`tree` with `rows` where `slots` names them; a slot that is nowhere is passed over. All of them for None."""
    if slots is None:
        return rows
    # The structure, which says how long outputs wait, is that of the rows.
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(rows), strict=True)
    put = [array.at[slots].set(new.astype(array.dtype), mode="drop") for array, new in leaves]
    return jax.tree.unflatten(jax.tree.structure(rows), put)


def only_named(chunk: jax.Array, slots: jax.Array, pool: Any) -> jax.Array:
    """`chunk` (rows, ...) with zeros for a slot that is nowhere: what stands there reaches no derivative either."""
    number = min((array.shape[0] for array in jax.tree.leaves(pool)), default=np.iinfo(np.int32).max)
    somebody = (slots < number).reshape(-1, *(1,) * (chunk.ndim - 1))
    return jnp.where(somebody, chunk, jnp.zeros((), chunk.dtype))


def uneven(samples: int = 1) -> ValueError:
    """The error for a step after which the sessions of a pool would wait for other numbers of samples."""
    steps = f", and step by multiples of {samples} samples" if samples > 1 else ""
    return ValueError(
        "with slots the next outputs must wait for as many samples before a step as after it: begin a session by "
        f"itself, put it in when steps leave the structure of its stream as it is{steps}"
    )


def named_slots(slots: Any, rows: int) -> jax.Array:
    """`slots` (rows,) as int32, a negative one as one that is nowhere.

    Raises `ValueError` for another shape and for numbers that are no integers.
    """
    slots = jnp.asarray(slots)
    if slots.shape != (rows,) or not jnp.issubdtype(slots.dtype, jnp.integer):
        raise ValueError(
            f"slots must be an integer for each of the {rows} rows of the chunk, "
            f"got {slots.dtype} of shape {slots.shape}"
        )
    return jnp.where(slots < 0, np.iinfo(np.int32).max, slots).astype(jnp.int32)
