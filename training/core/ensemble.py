"""Ensembles: several networks that differ in their seed, trained at once along a leading axis of all arrays.

Each is trained exactly as it would be alone, by its own plan (`plan.member_plans`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..tasks import Examples


def select_member(tree: Any, number: int) -> Any:
    """The tree of one member."""
    return jax.tree.map(lambda array: array[number], tree)


def vmap_epoch(one: Callable[..., Any]) -> Callable[..., Any]:
    """The epoch of one member, vectorized over all: means of loss and score, and the largest loss of each step."""

    # The name is in the text of the program, whose digest says whether a run can be resumed.
    def of_all(learners: Any, keys: jax.Array, examples: Examples) -> Any:
        learners, means, (losses, finite) = jax.vmap(one, in_axes=(0, 0, None))(learners, keys, examples)
        return learners, jax.tree.map(jnp.mean, means), (losses.max(0), finite.all())

    return of_all


def vmap_members(one: Callable[..., Any]) -> Callable[..., Any]:
    """A function `(params, state, examples)` of one member, vectorized over all: every result has a leading axis."""
    return jax.vmap(one, in_axes=(0, 0, None))


def combine_outputs(outputs: jax.Array, is_classification: bool) -> jax.Array:
    """Combine outputs (members, n, ...) to (n, ...): their mean, or for classes the mean of the probabilities.

    For classes the result is the logarithm of the mean of the softmax. (Fawaz et al., InceptionTime: Finding AlexNet
    for time series classification, Data Mining and Knowledge Discovery 2020, equation 3.)
    """
    if not is_classification:
        return outputs.mean(0)
    return jax.nn.logsumexp(jax.nn.log_softmax(outputs), axis=0) - jnp.log(len(outputs))
