"""The arrays that training changes (params, state, optimizer state), their initial values, and a run's progress."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ReduceLROnPlateauState

from ..arrays import Tree
from ..tasks import Task
from . import loss_scale
from .loss_scale import LossScale
from .optimizers import optimizer
from .plan import Plan, keys, member_plans, schedule, steps_per_epoch


class Best(NamedTuple):
    """Params and states after the epoch with the lowest loss so far, and that loss."""

    loss: jax.Array
    params: Tree
    state: Tree
    optimizer: Any


class MovingAverage(NamedTuple):
    """Exponential moving averages of the params and the state over `steps` steps."""

    steps: jax.Array
    params: Tree
    state: Tree


class Learner(NamedTuple):
    """Everything that the next epoch depends on, and that a checkpoint contains.

    `best` is present if the plan keeps the best params, `average` if it averages them, and `scale` if it trains in
    float16.
    """

    params: Tree
    state: Tree
    optimizer: Any
    best: Best | None = None
    average: MovingAverage | None = None
    scale: LossScale | None = None


class Row(NamedTuple):
    """One line of `metrics.csv`. Training values are means over the epoch's steps; None where not evaluated."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_score: float
    test_loss: float | None
    test_score: float | None
    validation_loss: float | None = None
    validation_score: float | None = None


class Progress(NamedTuple):
    """A run after `len(rows)` epochs."""

    learner: Learner
    rows: tuple[Row, ...]


def init_learner(task: Task, plan: Plan, dtype: Any) -> Learner:
    """The learner before the first epoch, with params in `dtype`.

    The params are copied from the task's pretrained network, or drawn from the plan's seed as Keras draws them.
    """
    if plan.members > 1:
        learners = [init_learner(task, own, dtype) for own in member_plans(plan)]
        return jax.tree.map(lambda *arrays: jnp.stack(arrays), *learners)

    def cast(array: Any) -> jax.Array:
        # A copy, since the first epoch donates the learner's buffers.
        return jnp.array(array, dtype if jnp.issubdtype(array.dtype, jnp.floating) else array.dtype)

    if task.pretrained is None:
        trees = task.model.init(keys(plan)[0], task.train.x.shape[1:])
    else:
        trees = task.pretrained.params, task.pretrained.state
    params, state = jax.tree.map(cast, trees)
    training = task.continued_training
    slots = make_optimizer(task, plan).init(params) if training is None else jax.tree.map(cast, training.state)
    learner = Learner(params, state, slots)
    # Copies, since each buffer can be donated only once.
    if plan.keep == "best":
        learner = learner._replace(best=Best(jnp.array(jnp.inf, dtype), *_copy((params, state, slots))))
    if plan.ema is not None:
        learner = learner._replace(average=MovingAverage(jnp.zeros((), jnp.int32), *_copy((params, state))))
    if plan.precision == "float16":
        learner = learner._replace(scale=loss_scale.initial_scale())
    return learner


def with_averages(learner: Learner) -> Learner:
    """The learner with its moving averages, if it has any, as params and state."""
    if learner.average is None:
        return learner
    return learner._replace(params=learner.average.params, state=learner.average.state)


def final_learner(learner: Learner) -> Learner:
    """The learner with the best params, if the plan keeps these, else with the last ones or their averages."""
    return with_averages(learner) if learner.best is None else Learner(*learner.best[1:])


def update_best(learner: Learner, loss: jax.Array) -> Learner:
    """The learner after an epoch with `loss`, which replaces the best if the loss is lower."""
    if learner.best is None:
        return learner
    lower = loss < learner.best.loss
    candidate = Best(loss, *with_averages(learner)[:3])
    best: Any = jax.tree.map(lambda new, old: jnp.where(lower, new, old), candidate, learner.best)
    return learner._replace(best=best)


def update_average(average: MovingAverage, decay: float, params: Any, state: Any) -> MovingAverage:
    """The averages after one more step, with the weights decay ** age, divided by their sum (as `optax.ema` debiases).

    Integers are not averaged; the last value is kept.

    >>> one = {"dense": {"bias": jnp.array([1.0])}}
    >>> average = update_average(MovingAverage(jnp.array(0), one, {}), 0.5, {"dense": {"bias": jnp.array([3.0])}}, {})
    >>> update_average(average, 0.5, {"dense": {"bias": jnp.array([6.0])}}, {}).params
    {'dense': {'bias': Array([5.], dtype=float32)}}
    """
    steps = average.steps + 1

    def mean(new: jax.Array, old: jax.Array) -> jax.Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return new
        # (1 - decay) / (1 - decay ** steps), accurate for a decay near 1.
        weight = (decay - 1) / jnp.expm1(steps.astype(new.dtype) * math.log(decay))
        updated: Any = optax.incremental_update(new, old, weight)
        return updated

    means: Any = jax.tree.map(mean, (params, state), (average.params, average.state))
    return MovingAverage(steps, *means)


def make_optimizer(task: Task, plan: Plan) -> optax.GradientTransformation:
    """The plan's optimizer with its schedule, or the optimizer that the task's pretrained network continues."""
    if task.continued_training is not None:
        return task.continued_training.optimizer
    fresh = optimizer(plan, schedule(task, plan), steps_per_epoch(task, plan))
    return fresh if task.pretrained is None else optax.chain(fresh, task.pretrained.training.optimizer)


def plateau_scale(learner: Learner) -> jax.Array:
    """The factor of the learning rate that the plateau schedule has reached; the mean over an ensemble."""
    return optax.tree_utils.tree_get(learner.optimizer, ReduceLROnPlateauState.__name__).scale.mean()


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
