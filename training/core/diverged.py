"""Finds where a run diverged: the step, and the first value in it that is not finite or has exploded.

A run is a pure function of its plan and data, so nothing is recorded while it goes well. After divergence it is
repeated, from a checkpoint or from the start, up to the epoch before; from there on every value of every step is
inspected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..networks import variable_length
from ..tasks import Examples, Task
from .learner import Learner, Progress
from .loop import EXPLOSION_FACTOR, Diverged, to_device, train
from .plan import Plan, batches, epoch_key, steps_per_epoch
from .precision import with_precision
from .step import make_step


class Divergence(NamedTuple):
    """The learner of the last step whose loss was good, and a message that says what went wrong."""

    learner: Learner
    message: str


def locate(task: Task, plan: Plan, bad: Diverged, progress_at: Callable[[int], Progress]) -> Divergence:
    """The first bad value of a run that has diverged.

    `progress_at(epochs)` returns the progress after that many epochs or fewer.
    """
    # If the first step of an epoch is bad, the last good params are in the epoch before.
    epochs = max(0, bad.epoch - (1 if bad.step > 1 else 2))
    progress = progress_at(epochs)
    if len(progress.rows) < epochs:
        validation = task.validation if plan.watch == "validation" else None
        replay = train(task._replace(test=None, validation=validation), plan, progress)
        progress = next(after for after in replay if len(after.rows) == epochs)
    steps = steps_per_epoch(task, plan)
    last = (bad.epoch - 1) * steps + min(bad.step, steps)
    good, first = progress.learner, None
    output_names, update_names = _names(task, progress.learner)
    for step, learner, (outputs, updates) in _inspected_steps(task, plan, progress, last):
        first = first or outputs
        culprit = _first_bad(output_names, outputs, first if step == last else None)
        if culprit is None:
            # The loss of this step is good, and so are the params that it was computed with.
            good, culprit = learner, _first_bad(update_names, updates, None)
        if culprit is not None:
            return Divergence(good, _message(bad, steps, f"the first to go bad was {culprit} in step {step}"))
    return Divergence(good, _message(bad, steps, "no single layer's output exploded"))


def _message(bad: Diverged, steps: int, culprit: str) -> str:
    step = (bad.epoch - 1) * steps + bad.step
    how = f"exploded to {bad.loss:.3g}" if math.isfinite(bad.loss) else "is not finite"
    return f"the loss {how} in step {step:,}, epoch {bad.epoch}: {culprit}; the last good params were kept"


def _inspected_steps(
    task: Task, plan: Plan, progress: Progress, last: int
) -> Iterator[tuple[int, Learner, tuple[list[Any], list[Any]]]]:
    """The number of each step up to `last`, the learner before it, and the magnitudes of the values in it.

    A magnitude is the largest absolute value of an array, NaN if one is NaN. The first list has the outputs of the
    layers and the loss, the second the gradients, the new params and the new state, all in the order of computation.
    """
    inspect, examples = _inspecting_step(task, plan), to_device(task.train, progress.learner)
    learner, steps = progress.learner, steps_per_epoch(task, plan)
    for epoch in range(len(progress.rows), -(-last // steps)):
        order, keys = _batches(task, plan, epoch)
        for index in range(min(steps, last - epoch * steps)):
            after, sizes = inspect(learner, (examples.at(order[index]), keys[index]))
            yield epoch * steps + index + 1, learner, jax.device_get(sizes)
            learner = after


def _inspecting_step(task: Task, plan: Plan) -> Callable[..., tuple[Learner, tuple[list[jax.Array], list[jax.Array]]]]:
    """`(learner, batch) -> (learner, magnitudes)`, compiled; the magnitudes are in the order of `_names`.

    The accumulated batches of a step are inspected as one batch.
    """
    step, task = make_step(task, plan), with_precision(task, plan.precision)

    def inspect(learner: Learner, batch: tuple[Examples, jax.Array]) -> Any:
        examples, key = task.transformed(*batch)
        x, _, lengths = examples
        values, _ = variable_length.values(
            task.model, learner.params, learner.state, x, lengths, training=True, key=key
        )
        gradient = jax.grad(lambda params: task.objective(params, learner.state, examples, key)[0])(learner.params)
        after, (loss, _) = step(learner, batch)
        outputs = [values[node.name] for node in task.model.nodes]
        updates = [array for _, array in _in_backward_order(task, gradient) + _in_forward_order(task, after)]
        return after, ([_magnitude(value) for value in [*outputs, loss]], [_magnitude(value) for value in updates])

    def inspect_all(learners: Learner, batches: Any) -> Any:
        after, sizes = jax.vmap(inspect)(learners, batches)
        return after, jax.tree.map(jnp.max, sizes)

    return jax.jit(inspect if plan.members == 1 else inspect_all)


def _batches(task: Task, plan: Plan, epoch: int) -> tuple[jax.Array, jax.Array]:
    """Indices of the examples and key of each step of an epoch; for an ensemble, of each step of each member."""
    key = epoch_key(plan, epoch)
    if plan.members == 1:
        return batches(task, plan, key)
    return jax.tree.map(lambda array: array.swapaxes(0, 1), jax.vmap(partial(batches, task, plan))(key))


def _names(task: Task, learner: Learner) -> tuple[list[str], list[str]]:
    outputs = [f"the output of {node.name}" for node in task.model.nodes]
    updates = [f"the gradient of {name}" for name, _ in _in_backward_order(task, learner.params)]
    updates += [name for name, _ in _in_forward_order(task, learner)]
    return [*outputs, "the loss"], updates


def _in_backward_order(task: Task, params: Any) -> list[tuple[str, Any]]:
    """Gradients by name in the order in which they are computed: the last layer's first."""
    return _in_forward_order(task, Learner(params, {}, None))[::-1]


def _in_forward_order(task: Task, learner: Learner) -> list[tuple[str, Any]]:
    """Params and state by name, layer by layer."""
    keys = dict.fromkeys(node.key for node in task.model.nodes)
    return [
        (f"{key}/{name}", array)
        for key in keys
        for tree in (learner.params, learner.state)
        for name, array in tree.get(key, {}).items()
    ]


def _magnitude(value: Any) -> jax.Array:
    return jnp.array([jnp.max(jnp.abs(leaf.astype(float)), initial=0) for leaf in jax.tree.leaves(value)]).max()


def _first_bad(names: list[str], magnitudes: list[Any], usual: list[Any] | None) -> str | None:
    """The first value that is not finite or, compared with the `usual` magnitudes, has exploded."""
    for name, size, own in zip(names, magnitudes, usual or [math.inf] * len(names), strict=True):
        if not math.isfinite(size):
            return f"{name}, which is not finite,"
        if size > EXPLOSION_FACTOR * max(1.0, own):
            return f"{name}, up to {size:.3g},"
    return None
