"""Dynamic loss scaling for float16, in which small gradients would underflow.

A step whose gradients are not finite changes nothing but the scale, which is halved; after 2,000 finite steps in a row
it is doubled. (Micikevicius et al., Mixed Precision Training, ICLR 2018.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

INITIAL_FACTOR, MAX_FACTOR = 2.0**15, 2.0**24
PERIOD = 2000


class LossScale(NamedTuple):
    """The factor of the loss, a power of two so that it is exact, and the number of finite steps in a row."""

    factor: jax.Array
    good: jax.Array


def initial_scale() -> LossScale:
    """The scale of the first step."""
    return LossScale(jnp.array(INITIAL_FACTOR, jnp.float32), jnp.zeros((), jnp.int32))


def next_scale(scale: LossScale, finite: jax.Array) -> LossScale:
    """The scale of the next step; `finite` says whether the gradients of this one were.

    >>> halved = next_scale(initial_scale(), jnp.array(False))
    >>> float(halved.factor), float(next_scale(LossScale(halved.factor, jnp.array(1999)), jnp.array(True)).factor)
    (16384.0, 32768.0)
    """
    good = jnp.where(finite, scale.good + 1, 0)
    grown = jnp.where(good == PERIOD, jnp.minimum(scale.factor * 2, MAX_FACTOR), scale.factor)
    return LossScale(jnp.where(finite, grown, jnp.maximum(scale.factor / 2, 1.0)), good % PERIOD)


def all_finite(tree: Any) -> jax.Array:
    """Whether all floating-point elements of a tree are finite."""
    arrays = [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(a).all() for a in arrays]).all()
