"""Where a run went bad: the step, and the first thing in it that is not finite or has exploded.

A run is a pure function of its plan and its data, so nothing is kept while it goes well. When it has diverged, it is
begun again from a checkpoint, or from the start, up to the epoch before; from there on, step by step, everything that
is computed is looked at.
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
from .learner import Learner, Reached
from .loop import EXPLODED, Diverged, on_device, train
from .plan import Plan, batches, epoch_key, steps_per_epoch
from .precision import computing
from .step import step_function


class Found(NamedTuple):
    """The last good learner, the one of the last step whose loss was good, and what there is to say."""

    learner: Learner
    words: str


class _Looked(NamedTuple):
    """The largest number of each thing computed in a step, in the order of computation: NaN where one is NaN.

    `outputs` are the layers' and the loss; `after` the gradients and what the step made of the params and the state.
    """

    outputs: dict[str, float]
    after: dict[str, float]


def find(task: Task, plan: Plan, bad: Diverged, from_epoch: Callable[[int], Reached]) -> Found:
    """The first bad thing of a run that has diverged.

    `from_epoch` gives where the run stood after that many epochs or fewer.
    """
    # With a first step, the params that were good last are those of the last step of the epoch before.
    whole = max(0, bad.epoch - (1 if bad.step > 1 else 2))
    reached = from_epoch(whole)
    if len(reached.rows) < whole:
        validation = task.validation if plan.watch == "validation" else None
        epochs = train(task._replace(test=None, validation=validation), plan, reached)
        reached = next(after for after in epochs if len(after.rows) == whole)
    steps = steps_per_epoch(task, plan)
    last = (bad.epoch - 1) * steps + min(bad.step, steps)
    good, first = reached.learner, None
    for step, learner, looked in _steps(task, plan, reached, last):
        first = first or looked
        what = _first(looked.outputs, first.outputs if step == last else None)
        if what is None:
            # Its loss is good, and so is the learner that had it.
            good, what = learner, _first(looked.after, None)
        if what is not None:
            return Found(good, _words(bad, steps, f"the first to go bad was {what} in step {step}"))
    return Found(good, _words(bad, steps, "no layer by itself"))


def _words(bad: Diverged, steps: int, found: str) -> str:
    step = (bad.epoch - 1) * steps + bad.step
    how = f"exploded to {bad.loss:.3g}" if math.isfinite(bad.loss) else "is not finite"
    return f"the loss {how} in step {step:,}, epoch {bad.epoch}: {found}; the last good params were kept"


def _steps(task: Task, plan: Plan, reached: Reached, last: int) -> Iterator[tuple[int, Learner, _Looked]]:
    """The number of each step up to `last`, the learner before it, and what it computes."""
    look, examples = _look(task, plan), on_device(task.train, reached.learner)
    learner, names = reached.learner, _names(task, reached.learner)
    steps = steps_per_epoch(task, plan)
    for epoch in range(len(reached.rows), -(-last // steps)):
        order, keys = _batches(task, plan, epoch)
        for within in range(min(steps, last - epoch * steps)):
            after, sizes = look(learner, (examples.at(order[within]), keys[within]))
            named = (dict(zip(*pair, strict=True)) for pair in zip(names, jax.device_get(sizes), strict=True))
            yield epoch * steps + within + 1, learner, _Looked(*named)
            learner = after


def _look(task: Task, plan: Plan) -> Callable[..., tuple[Learner, tuple[list[jax.Array], list[jax.Array]]]]:
    """`(learner, batch) -> (learner, sizes)`, compiled: a step, and the size of each thing that `_names` names.

    The batches of one step are looked at as one.
    """
    step, task = step_function(task, plan), computing(task, plan.precision)

    def look(learner: Learner, batch: tuple[Examples, jax.Array]) -> Any:
        examples, key = task.drawn(*batch)
        x, _, lengths = examples
        values, _ = variable_length.values(
            task.model, learner.params, learner.state, x, lengths, training=True, key=key
        )
        gradient = jax.grad(lambda params: task.objective(params, learner.state, examples, key)[0])(learner.params)
        after, (loss, _) = step(learner, batch)
        outputs = [values[node.name] for node in task.model.nodes]
        trees = [array for _, array in _backward(task, gradient)]
        trees += [array for _, array in _forward(task, after)]
        return after, ([_size(value) for value in [*outputs, loss]], [_size(value) for value in trees])

    def of_all(learners: Learner, batches: Any) -> Any:
        after, sizes = jax.vmap(look)(learners, batches)
        return after, jax.tree.map(jnp.max, sizes)

    return jax.jit(look if plan.members == 1 else of_all)


def _batches(task: Task, plan: Plan, epoch: int) -> tuple[jax.Array, jax.Array]:
    """The indices of the examples of each step of an epoch, and the steps' keys; of several members those of each."""
    key = epoch_key(plan, epoch)
    if plan.members == 1:
        return batches(task, plan, key)
    return jax.tree.map(lambda array: array.swapaxes(0, 1), jax.vmap(partial(batches, task, plan))(key))


def _names(task: Task, learner: Learner) -> tuple[list[str], list[str]]:
    outputs = [f"the output of {node.name}" for node in task.model.nodes]
    after = [f"the gradient of {name}" for name, _ in _backward(task, learner.params)]
    after += [name for name, _ in _forward(task, learner)]
    return [*outputs, "the loss"], after


def _backward(task: Task, params: Any) -> list[tuple[str, Any]]:
    """Params, or their gradients in the order in which they are computed: the last layer's first."""
    return _forward(task, Learner(params, {}, None))[::-1]


def _forward(task: Task, learner: Learner) -> list[tuple[str, Any]]:
    """Params and state by their names, layer by layer."""
    keys = dict.fromkeys(node.key for node in task.model.nodes)
    return [
        (f"{key}/{name}", array)
        for key in keys
        for tree in (learner.params, learner.state)
        for name, array in tree.get(key, {}).items()
    ]


def _size(value: Any) -> jax.Array:
    return jnp.array([jnp.max(jnp.abs(leaf.astype(float)), initial=0) for leaf in jax.tree.leaves(value)]).max()


def _first(sizes: dict[str, float], usual: dict[str, float] | None) -> str | None:
    """The first thing that is not finite or, against what was usual, has exploded."""
    for name, size in sizes.items():
        if not math.isfinite(size):
            return f"{name}, which is not finite,"
        if usual and size > EXPLODED * max(1.0, usual[name]):
            return f"{name}, up to {size:.3g},"
    return None
