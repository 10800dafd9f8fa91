"""A loss scaled up while gradients are computed in float16, whose smallest numbers they would fall below.

Dynamic loss scaling (Micikevicius et al., Mixed Precision Training, ICLR 2018): a step whose gradients are not finite
was scaled too far; it changes nothing but the scale, which is halved. After 2,000 good steps it is doubled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

FIRST, MOST = 2.0**15, 2.0**24
PERIOD = 2000


class LossScale(NamedTuple):
    """The factor, a power of two, so that it rounds nothing, and how many steps in a row were good with it."""

    factor: jax.Array
    good: jax.Array


def first() -> LossScale:
    """That of the first step."""
    return LossScale(jnp.array(FIRST, jnp.float32), jnp.zeros((), jnp.int32))


def after(scale: LossScale, finite: jax.Array) -> LossScale:
    """That of the next step, by whether the gradients of this one were finite.

    >>> halved = after(first(), jnp.array(False))
    >>> float(halved.factor), float(after(LossScale(halved.factor, jnp.array(1999)), jnp.array(True)).factor)
    (16384.0, 32768.0)
    """
    good = jnp.where(finite, scale.good + 1, 0)
    grown = jnp.where(good == PERIOD, jnp.minimum(scale.factor * 2, MOST), scale.factor)
    return LossScale(jnp.where(finite, grown, jnp.maximum(scale.factor / 2, 1.0)), good % PERIOD)


def is_finite(tree: Any) -> jax.Array:
    """Whether all floating numbers of a tree are."""
    arrays = [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(a).all() for a in arrays]).all()
