"""Several networks of one kind, each of a seed of its own, trained at once: the learner has a leading axis of members.

Each is what a run of its seed alone would make of it. Together they are an ensemble: the mean of what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..tasks import Examples, Task


def stacked(trees: Sequence[Any]) -> Any:
    """Trees of the same structure as one, with a leading axis."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *trees)


def member(tree: Any, number: int) -> Any:
    """What a tree has of one member."""
    return jax.tree.map(lambda array: array[number], tree)


def epoch(one: Callable[..., Any]) -> Callable[..., Any]:
    """The epoch of all members, given that of one: the means of loss and score, and the worst loss of each step."""

    def of_all(learners: Any, keys: jax.Array, examples: Examples) -> Any:
        learners, means, (losses, finite) = jax.vmap(one, in_axes=(0, 0, None))(learners, keys, examples)
        return learners, jax.tree.map(jnp.mean, means), (losses.max(0), finite.all())

    return of_all


def evaluation(task: Task, one: Callable[..., Any]) -> Callable[..., Any]:
    """The evaluation of all members together, given that of one."""

    def of_all(params: Any, state: Any, examples: Examples) -> Any:
        output = together(of_each(one)(params, state, examples)[0], bool(task.classes))
        return output, task.loss(output, examples.y), task.score(output, examples.y)

    return of_all


def of_each(one: Callable[..., Any]) -> Callable[..., Any]:
    """The evaluation of each member by itself, given that of one: what comes has a leading axis."""
    return jax.vmap(one, in_axes=(0, 0, None))


def together(outputs: jax.Array, of_classes: bool) -> jax.Array:
    """Outputs (members, n, ...) as one network's (n, ...): of numbers the mean, of classes that of the probabilities.

    What comes are logits, whose softmax that mean is. (Fawaz et al., InceptionTime: Finding AlexNet for time series
    classification, Data Mining and Knowledge Discovery 2020, equation 3.)
    """
    if not of_classes:
        return outputs.mean(0)
    return jax.nn.logsumexp(jax.nn.log_softmax(outputs), axis=0) - jnp.log(len(outputs))
