"""The numbers of a run, and what follows from them alone: the order of the examples, the keys, the learning rate.

The order of the examples in epoch e is drawn from `fold_in(key, e)`, so the same key on the same machine gives the same
numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..tasks import Task
from . import schedules


class Plan(NamedTuple):
    """The numbers of a run.

    `batch_size` is at most the number of training examples; `evaluate_every` is in epochs, and the last epoch is always
    evaluated. `optimizer` is the name of the one that begins afresh, where the task has none that goes on. `keep` is
    "last" or "best", the params of the epoch of the lowest loss; which loss, `watch` says: "training", its mean over
    the epoch, or "validation", for which every epoch is evaluated. `schedule` is a name in `schedules.SCHEDULES`: the
    learning rate falls to zero over the whole run ("cosine", half of one, or "linear"), or stays ("constant"), or is
    halved after 50 epochs without a lower mean loss, to a tenth at least ("plateau"). Before that it rises for
    `warm_up` epochs. Of more than one of `members` all that training changes has a leading axis: as many networks are
    trained at once.

    A step is of the mean gradient of `accumulate` batches, computed one after the other, which then is scaled to the
    norm `clip` where its own is larger; `weight_decay` is for kernels only. The network computes in `precision`,
    "bfloat16" or "float16", or None, the type of the params. After `early_stopping` epochs without a lower loss, of
    those watched, the run ends. With `ema` the params are averaged over the steps with that decay.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    evaluate_every: int
    optimizer: str = "adam"
    keep: str = "last"
    schedule: str = "cosine"
    watch: str = "training"
    precision: str | None = None
    accumulate: int = 1
    clip: float | None = None
    warm_up: int = 0
    weight_decay: float = 0.0
    early_stopping: int | None = None
    ema: float | None = None
    members: int = 1


def alone(plan: Plan) -> list[Plan]:
    """The plans by which each member would be trained by itself: the members of another seed have other seeds.

    >>> [own.seed for own in alone(Plan(9, 4, 1e-3, seed=2, evaluate_every=1, members=5))]
    [10, 11, 12, 13, 14]
    """
    first = plan.seed * plan.members
    return [plan._replace(seed=first + number, members=1) for number in range(plan.members)]


def keys(plan: Plan) -> tuple[jax.Array, jax.Array]:
    """The key of the initial params and that of the order of examples."""
    key = jax.random.key(plan.seed)
    return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)


def epoch_key(plan: Plan, epoch: int) -> jax.Array:
    """The key of an epoch, which counts from 0; of several members theirs (members,)."""
    if plan.members > 1:
        return jnp.stack([epoch_key(own, epoch) for own in alone(plan)])
    return jax.random.fold_in(keys(plan)[1], epoch)


def steps_per_epoch(task: Task, plan: Plan) -> int:
    """Full steps in the training set, each of `plan.accumulate` batches."""
    return len(task.train.x) // (plan.batch_size * plan.accumulate)


def batches(task: Task, plan: Plan, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The indices of the examples of each step of an epoch (steps, examples), and the steps' keys (steps,)."""
    steps = steps_per_epoch(task, plan)
    each = plan.batch_size * plan.accumulate
    order = jax.random.permutation(key, len(task.train.x))[: steps * each].reshape(steps, -1)
    # What layers such as dropout draw in each step is of another key than the order.
    return order, jax.random.split(jax.random.fold_in(key, 0), steps)


def schedule(task: Task, plan: Plan) -> Callable[[Any], Any]:
    """The learning rate over the count of steps: the plan's, or the one of the task's file."""
    training = task.start.training if task.start and task.start.goes_on else None
    if training is not None and training.schedule is not None:
        own, done = training.schedule, training.steps
        return lambda count: own(done + count)
    steps = steps_per_epoch(task, plan)
    return schedules.schedule(plan.schedule, plan.learning_rate, plan.epochs * steps, plan.warm_up * steps)
