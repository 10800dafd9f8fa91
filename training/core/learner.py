"""What training changes: params, state and the optimizer's state, how they begin, and where a run stands."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ReduceLROnPlateauState

from ..tasks import Task
from . import loss_scale, seeds
from .loss_scale import LossScale
from .optimizers import optimizer
from .plan import Plan, alone, keys, schedule, steps_per_epoch

Tree = dict[str, dict[str, Any]]


class Best(NamedTuple):
    """The learner at the end of the epoch of the lowest loss so far, and that loss."""

    loss: jax.Array
    params: Tree
    state: Tree
    optimizer: Any


class Average(NamedTuple):
    """The exponential moving averages of the params and the state over so many steps."""

    steps: jax.Array
    params: Tree
    state: Tree


class Learner(NamedTuple):
    """What training changes: the model's params and state, the optimizer's state, and the best where it is kept.

    With them, where the plan says so, averages of the params and the state, and the scale of the loss in float16.
    Whatever the next epoch depends on belongs in here, since this is what a checkpoint holds.
    """

    params: Tree
    state: Tree
    optimizer: Any
    best: Best | None = None
    average: Average | None = None
    scale: LossScale | None = None


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
    learner = Learner(params, state, slots)
    # Copies, since each buffer is given to the first epoch once.
    if plan.keep == "best":
        learner = learner._replace(best=Best(jnp.array(jnp.inf, dtype), *_copy((params, state, slots))))
    if plan.ema is not None:
        learner = learner._replace(average=Average(jnp.zeros((), jnp.int32), *_copy((params, state))))
    if plan.precision == "float16":
        learner = learner._replace(scale=loss_scale.first())
    return learner


def now(learner: Learner) -> Learner:
    """The learner with the averages for its params and state, where they are kept."""
    if learner.average is None:
        return learner
    return learner._replace(params=learner.average.params, state=learner.average.state)


def best_or_last(learner: Learner) -> Learner:
    """The learner that the run is for: the best where that is kept, else the last, averaged where that is asked for."""
    return now(learner) if learner.best is None else Learner(*learner.best[1:])


def with_best(learner: Learner, loss: jax.Array) -> Learner:
    """The learner after an epoch of that loss: the best it keeps is its own where the loss is the lowest."""
    if learner.best is None:
        return learner
    lower = loss < learner.best.loss
    own = Best(loss, *now(learner)[:3])
    best: Any = jax.tree.map(lambda new, old: jnp.where(lower, new, old), own, learner.best)
    return learner._replace(best=best)


def averaged(average: Average, decay: float, params: Any, state: Any) -> Average:
    """The averages after one more step, to the params and the state given.

    With weights decay ** age, divided by their sum: of one step the values themselves, so that what the params were
    drawn as counts for nothing, which is `optax.ema` with its debiasing. Numbers that are whole are the last.

    >>> one = {"dense": {"bias": jnp.array([1.0])}}
    >>> average = averaged(Average(jnp.array(0), one, {}), 0.5, {"dense": {"bias": jnp.array([3.0])}}, {})
    >>> averaged(average, 0.5, {"dense": {"bias": jnp.array([6.0])}}, {}).params
    {'dense': {'bias': Array([5.], dtype=float32)}}
    """
    steps = average.steps + 1

    def mean(new: jax.Array, old: jax.Array) -> jax.Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return new
        # 1 - decay ** steps, to the last digit for a decay near 1.
        share = (decay - 1) / jnp.expm1(steps.astype(new.dtype) * math.log(decay))
        moved: Any = optax.incremental_update(new, old, share)
        return moved

    means: Any = jax.tree.map(mean, (params, state), (average.params, average.state))
    return Average(steps, *means)


def optimizer_for(task: Task, plan: Plan) -> optax.GradientTransformation:
    """The plan's, its learning rate by its schedule; or the one of the task's file."""
    if task.start is not None and task.start.goes_on:
        return task.start.training.optimizer
    fresh = optimizer(plan, schedule(task, plan), steps_per_epoch(task, plan))
    return fresh if task.start is None else optax.chain(fresh, task.start.training.optimizer)


def plateau_scale(learner: Learner) -> jax.Array:
    """What a plan that halves the learning rate on a plateau multiplies it by; of several members the mean."""
    found = jax.tree.leaves(learner.optimizer, is_leaf=_is_plateau)
    return next(slots.scale.mean() for slots in found if _is_plateau(slots))


def _is_plateau(slots: Any) -> bool:
    return isinstance(slots, ReduceLROnPlateauState)


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
