"""One step of training: the gradient of its batches, and what the optimizer makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..tasks import Examples, Task
from . import loss_scale
from .learner import Learner, Tree, averaged, optimizer_for
from .plan import Plan
from .precision import computing


def step_function(task: Task, plan: Plan) -> Callable[..., tuple[Learner, tuple[jax.Array, jax.Array]]]:
    """`(learner, (examples, key)) -> (learner, (loss, score))`: one step, not compiled.

    Loss and score are means over the step's batches. In float16 a step whose gradients overflow changes the scale of
    the loss and nothing else.
    """
    rule = optax.with_extra_args_support(optimizer_for(task, plan))
    gradient = _gradient(computing(task, plan.precision), plan)

    def step(learner: Learner, batch: tuple[Examples, jax.Array]) -> tuple[Learner, Any]:
        values, state, bar = gradient(learner, *batch)
        updates, slots = rule.update(bar, learner.optimizer, learner.params, value=values[0])
        params: Any = optax.apply_updates(learner.params, updates)
        after = learner._replace(params=params, state=state, optimizer=slots)
        if learner.average is not None and plan.ema is not None:
            after = after._replace(average=averaged(learner.average, plan.ema, params, state))
        if learner.scale is not None:
            finite = loss_scale.is_finite(bar)
            after = jax.tree.map(partial(jnp.where, finite), after, learner)
            after = after._replace(scale=loss_scale.after(learner.scale, finite))
        return after, values

    return step


def _gradient(task: Task, plan: Plan) -> Callable[..., tuple[tuple[jax.Array, jax.Array], Tree, Tree]]:
    """`(learner, examples, key) -> ((loss, score), state, gradient)`, of all the step's batches."""

    def one(learner: Learner, state: Tree, examples: Examples, key: jax.Array) -> Any:
        examples, key = task.drawn(examples, key)
        factor = None if learner.scale is None else learner.scale.factor

        def loss(params: Tree) -> Any:
            value, (after, output) = task.objective(params, state, examples, key)
            return value if factor is None else value * factor, (
                value,
                task.measured(task.score, output, examples),
                after,
            )

        bar, (value, score, after) = jax.grad(loss, has_aux=True)(learner.params)
        return (value, score), after, bar if factor is None else jax.tree.map(lambda array: array / factor, bar)

    def accumulated(learner: Learner, examples: Examples, key: jax.Array) -> Any:
        def add(carry: Any, batch: Any) -> Any:
            state, sums = carry
            values, state, bar = one(learner, state, *batch)
            return (state, jax.tree.map(jnp.add, sums, bar)), values

        def split(array: jax.Array) -> jax.Array:
            return array.reshape(plan.accumulate, -1, *array.shape[1:])

        parts = jax.tree.map(split, examples), jax.random.split(key, plan.accumulate)
        zeros = jax.tree.map(jnp.zeros_like, learner.params)
        (state, sums), values = jax.lax.scan(add, (learner.state, zeros), parts)
        return jax.tree.map(jnp.mean, values), state, jax.tree.map(lambda array: array / plan.accumulate, sums)

    if plan.accumulate > 1:
        return accumulated
    return lambda learner, examples, key: one(learner, learner.state, examples, key)
