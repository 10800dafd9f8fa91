"""Keras's moving average of the params (`use_ema`), kept by the optimizer."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax


def moving_average(
    momentum: float, every: int | None, steps: int = 1, *, of_first: bool = False
) -> optax.GradientTransformation:
    """Keep in `optax.EmaState.ema` the average of the params after each step; the last but constraints of a chain.

    It is the params themselves after the first step, or with `of_first` before it, as in Keras 2; then `momentum` of
    the average before and the rest of the params. After each `every` steps the params become the average, never where
    that is None. With gradients accumulated over `steps`, Keras counts those together as one.
    """

    def init(params: Any) -> Any:
        return optax.EmaState(
            jnp.zeros((), jnp.int32), jax.tree.map(jnp.asarray if of_first else jnp.zeros_like, params)
        )

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        counted = state.count // steps
        kept = jnp.where((counted == 0) & (not of_first), 0.0, momentum)

        def averaged(p: jax.Array, u: jax.Array, average: jax.Array) -> jax.Array:
            share = kept.astype(p.dtype)
            return share * average + (1 - share) * (p + u)

        ema = jax.tree.map(averaged, params, updates, state.ema)
        if every is not None:
            due = (counted + 1) % every == 0
            updates = jax.tree.map(lambda u, p, a: jnp.where(due, a - p, u), updates, params, ema)
        return updates, optax.EmaState(state.count + 1, ema)

    return optax.GradientTransformation(init, update)
