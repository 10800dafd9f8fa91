"""The plan of a run, and what follows from it alone: the order of the examples, the keys, the learning rate.

The order of the examples in epoch e is drawn from `fold_in(key, e)`, so a resumed run continues with the same batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..tasks import Task
from . import schedules


class Plan(NamedTuple):
    """How a network is trained.

    Attributes:
        epochs: passes over the training set, at most.
        batch_size: examples in a batch, at most as many as the training set has.
        learning_rate: the highest rate.
        seed: of the initial params and the order of the examples.
        evaluate_every: epochs between evaluations of the test and validation sets; the last epoch is always evaluated.
        optimizer: a name in `optimizers.OPTIMIZERS`; unused if the task continues a pretrained network's optimizer.
        keep: "last", or "best" for the params after the epoch with the lowest loss that `watch` names.
        schedule: a name in `schedules.SCHEDULES`: the rate falls to zero over the run ("cosine", half of one period,
            or "linear"), is "constant", or is halved after 50 epochs without a lower training loss, down to a tenth
            ("plateau").
        watch: "training", the mean loss of the epoch, or "validation", for which every epoch is evaluated.
        precision: "bfloat16" or "float16" for the layers' computations; None for the dtype of the params.
        accumulate: batches whose mean gradient makes a step.
        clip: the norm that larger gradients are scaled down to; None for no clipping.
        warm_up: epochs in which the rate rises linearly.
        weight_decay: rate of the decoupled decay of kernels.
        early_stopping: epochs without a lower watched loss after which the run ends; None for no early stopping.
        ema: decay of the exponential moving average of the params; None for no average.
        members: ensemble size. Above 1, all arrays of the learner have a leading axis.
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


def member_plans(plan: Plan) -> list[Plan]:
    """The plan of each member of the ensemble. Plans with different seeds have no member seeds in common.

    >>> [own.seed for own in member_plans(Plan(9, 4, 1e-3, seed=2, evaluate_every=1, members=5))]
    [10, 11, 12, 13, 14]
    """
    first = plan.seed * plan.members
    return [plan._replace(seed=first + number, members=1) for number in range(plan.members)]


def keys(plan: Plan) -> tuple[jax.Array, jax.Array]:
    """The keys of the initial params and of the order of the examples."""
    key = jax.random.key(plan.seed)
    return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)


def epoch_key(plan: Plan, epoch: int) -> jax.Array:
    """The key of an epoch, counted from 0; for an ensemble, the keys of its members, (members,)."""
    if plan.members > 1:
        return jnp.stack([epoch_key(own, epoch) for own in member_plans(plan)])
    return jax.random.fold_in(keys(plan)[1], epoch)


def steps_per_epoch(task: Task, plan: Plan) -> int:
    """The number of complete steps in the training set, each of `plan.accumulate` batches."""
    return len(task.train.x) // (plan.batch_size * plan.accumulate)


def batches(task: Task, plan: Plan, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The indices of the examples of each step of an epoch, (steps, examples), and the steps' keys, (steps,)."""
    steps = steps_per_epoch(task, plan)
    each = plan.batch_size * plan.accumulate
    order = jax.random.permutation(key, len(task.train.x))[: steps * each].reshape(steps, -1)
    # Layers such as dropout draw with another key than the order.
    return order, jax.random.split(jax.random.fold_in(key, 0), steps)


def schedule(task: Task, plan: Plan) -> Callable[[Any], Any]:
    """The learning rate at each step: the plan's, or the rate of the optimizer that a pretrained network continues."""
    training = task.continued_training
    if training is not None and training.schedule is not None:
        own, done = training.schedule, training.steps
        return lambda count: own(done + count)
    steps = steps_per_epoch(task, plan)
    return schedules.schedule(plan.schedule, plan.learning_rate, plan.epochs * steps, plan.warm_up * steps)
