"""What training changes: params, state and the optimizer's state, how they begin, and where a run stands."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import reduce_on_plateau

from . import seeds
from .optimizers import OPTIMIZERS
from .plan import Plan, alone, keys, schedule, steps_per_epoch
from .tasks import Task

Tree = dict[str, dict[str, Any]]


class Best(NamedTuple):
    """The learner at the end of the epoch of the lowest mean training loss so far, and that loss."""

    loss: jax.Array
    params: Tree
    state: Tree
    optimizer: Any


class Learner(NamedTuple):
    """What training changes: the model's params and state, the optimizer's state, and the best where it is kept.

    Whatever the next epoch depends on belongs in here, since this is what a checkpoint holds.
    """

    params: Tree
    state: Tree
    optimizer: Any
    best: Best | None = None


class Row(NamedTuple):
    """One line of `metrics.csv`. Training values are means over the epoch's steps; the others may be absent."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_score: float
    test_loss: float | None
    test_score: float | None
    validation_loss: float | None = None
    validation_score: float | None = None


class Reached(NamedTuple):
    """Where a run stands after as many epochs as it has rows."""

    learner: Learner
    rows: tuple[Row, ...]


def first_learner(task: Task, plan: Plan, dtype: Any) -> Learner:
    """Params in `dtype`, as Keras draws them from the seed or as the task's file has them, and an optimizer's state."""
    if plan.members > 1:
        return seeds.stacked([first_learner(task, own, dtype) for own in alone(plan)])

    def own(array: Any) -> jax.Array:
        # A copy: what a learner has is given to the first epoch.
        return jnp.array(array, dtype if jnp.issubdtype(array.dtype, jnp.floating) else array.dtype)

    if task.start is None:
        trees = task.model.init(keys(plan)[0], task.train.x.shape[1:])
    else:
        trees = task.start.params, task.start.state
    params, state = jax.tree.map(own, trees)
    if task.start is not None and task.start.goes_on:
        slots = jax.tree.map(own, task.start.training.state)
    else:
        slots = optimizer_for(task, plan).init(params)
    if plan.keep == "last":
        return Learner(params, state, slots)
    copy: Any = jax.tree.map(jnp.copy, (params, state, slots))
    return Learner(params, state, slots, Best(jnp.array(jnp.inf, dtype), *copy))


def best_or_last(learner: Learner) -> Learner:
    """The learner that the run is for: the best where that is kept, else the last."""
    return learner if learner.best is None else Learner(*learner.best[1:])


def optimizer_for(task: Task, plan: Plan) -> optax.GradientTransformation:
    """The plan's, its learning rate falling by its schedule; or the one of the task's file."""
    if task.start is not None and task.start.goes_on:
        return task.start.training.optimizer
    if plan.schedule == "plateau":
        halving = reduce_on_plateau(
            factor=0.5, patience=50, rtol=0.0, atol=1e-4, min_scale=0.1, accumulation_size=steps_per_epoch(task, plan)
        )
        fresh = optax.chain(OPTIMIZERS[plan.optimizer](plan.learning_rate), halving)
    else:
        fresh = OPTIMIZERS[plan.optimizer](schedule(task, plan))
    return fresh if task.start is None else optax.chain(fresh, task.start.training.optimizer)


def rate_of(plan: Plan, learner: Learner) -> jax.Array:
    """The learning rate at which a plan that halves it has arrived; of several members the mean."""
    return plan.learning_rate * learner.optimizer[-1].scale.mean()
