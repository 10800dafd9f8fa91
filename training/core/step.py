"""One training step: the gradient of its batches, and the optimizer's update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..arrays import Tree
from ..tasks import Examples, Task
from . import loss_scale
from .learner import Learner, make_optimizer, update_average
from .plan import Plan
from .precision import with_precision


def make_step(task: Task, plan: Plan) -> Callable[..., tuple[Learner, tuple[jax.Array, jax.Array]]]:
    """`(learner, (examples, key)) -> (learner, (loss, score))`, not compiled; means over the batches of the step.

    In float16, a step whose gradients overflow changes only the loss scale.
    """
    optimizer = optax.with_extra_args_support(make_optimizer(task, plan))
    gradient = _gradient(with_precision(task, plan.precision), plan)

    def step(learner: Learner, batch: tuple[Examples, jax.Array]) -> tuple[Learner, Any]:
        values, state, params_bar = gradient(learner, *batch)
        updates, slots = optimizer.update(params_bar, learner.optimizer, learner.params, value=values[0])
        params: Any = optax.apply_updates(learner.params, updates)
        after = learner._replace(params=params, state=state, optimizer=slots)
        if learner.average is not None and plan.ema is not None:
            after = after._replace(average=update_average(learner.average, plan.ema, params, state))
        if learner.scale is not None:
            finite = loss_scale.all_finite(params_bar)
            after = jax.tree.map(partial(jnp.where, finite), after, learner)
            after = after._replace(scale=loss_scale.next_scale(learner.scale, finite))
        return after, values

    return step


def _gradient(task: Task, plan: Plan) -> Callable[..., tuple[tuple[jax.Array, jax.Array], Tree, Tree]]:
    """`(learner, examples, key) -> ((loss, score), state, gradient)` over all batches of a step."""

    def of_batch(learner: Learner, state: Tree, examples: Examples, key: jax.Array) -> Any:
        examples, key = task.transformed(examples, key)
        factor = None if learner.scale is None else learner.scale.factor

        def scaled_loss(params: Tree) -> Any:
            loss, (after, output) = task.objective(params, state, examples, key)
            scaled = loss if factor is None else loss * factor
            return scaled, ((loss, task.evaluate_metric(task.score, output, examples)), after)

        params_bar, (values, after) = jax.grad(scaled_loss, has_aux=True)(learner.params)
        return values, after, params_bar if factor is None else jax.tree.map(lambda array: array / factor, params_bar)

    def accumulated(learner: Learner, examples: Examples, key: jax.Array) -> Any:
        def add(carry: Any, batch: Any) -> Any:
            state, sums = carry
            values, state, params_bar = of_batch(learner, state, *batch)
            return (state, jax.tree.map(jnp.add, sums, params_bar)), values

        def split(array: jax.Array) -> jax.Array:
            return array.reshape(plan.accumulate, -1, *array.shape[1:])

        parts = jax.tree.map(split, examples), jax.random.split(key, plan.accumulate)
        zeros = jax.tree.map(jnp.zeros_like, learner.params)
        (state, sums), values = jax.lax.scan(add, (learner.state, zeros), parts)
        return jax.tree.map(jnp.mean, values), state, jax.tree.map(lambda array: array / plan.accumulate, sums)

    if plan.accumulate > 1:
        return accumulated
    return lambda learner, examples, key: of_batch(learner, learner.state, examples, key)
