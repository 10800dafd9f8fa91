"""Training as pure functions: a whole epoch is one compiled call, and so is an evaluation.

By default the learning rate falls along half a cosine to zero over the whole run, and the params that are kept
are the last, which by then have stopped moving, and so have the moving averages of batch normalization; a plan may
halve it on a plateau instead, and keep the params of the lowest training loss. The test set picks nothing. A network
from a file goes on with the optimizer that the file has, at its rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import seeds, unequal
from .learner import Best, Learner, Reached, Row, Tree, best_or_last, optimizer_for, rate_of
from .plan import Plan, batches, epoch_key, schedule, steps_per_epoch
from .tasks import Examples, Task

# A loss is out of bounds above this many times the lowest epoch's, which counts as at least 1.
EXPLODED = 1e6


class Diverged(Exception):
    """A step (both count from 1, the step within its epoch) whose loss is not finite or out of bounds.

    `step` is one more than an epoch has where all losses were good and the params after the last step are not finite.
    """

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(f"epoch {epoch}, step {step}: loss {loss}")
        self.epoch, self.step, self.loss = epoch, step, loss


def train(task: Task, plan: Plan, reached: Reached) -> Iterator[Reached]:
    """Epoch after epoch until the plan's last: where the run then stands, test and validation sets evaluated at times.

    The buffers of a learner that was given or yielded are given back to the next epoch, so keep only the last one.
    Raises `Diverged` in place of an epoch in which something is not finite or the loss explodes.
    """
    learner, rows = reached
    train = on_device(task.train, learner)
    others = [on_device(part, learner) if part else None for part in (task.test, task.validation)]
    one_epoch, evaluate = epoch_function(task, plan), evaluation(task, plan.members)
    rate, steps = schedule(task, plan), steps_per_epoch(task, plan)
    for epoch in range(len(rows), plan.epochs):
        learner, (loss, score), (losses, finite) = one_epoch(learner, epoch_key(plan, epoch), train)
        _check(rows, np.asarray(losses), bool(finite))
        due = (epoch + 1) % plan.evaluate_every == 0 or epoch + 1 == plan.epochs
        params, state = best_or_last(learner)[:2]
        found = [evaluate(params, state, part)[1:] if part and due else (None, None) for part in others]
        own = rate_of(plan, learner) if plan.schedule == "plateau" else rate(epoch * steps)
        row = Row(epoch + 1, float(own), float(loss), float(score), *map(_number, chain(*found)))
        rows = (*rows, row)
        yield Reached(learner, rows)


def epoch_function(task: Task, plan: Plan) -> Callable[..., tuple[Learner, Any, Any]]:
    """`(learner, key, examples) -> (learner, (loss, score), (losses, finite))`, compiled: a pass over them in batches.

    Loss and score are means over the steps, losses that of each step (steps,), and finite
    says whether the params and the state of the learner are. Examples left over after the last full batch sit this
    epoch out; the next one draws another order. Of several members the learner and the key have a leading axis.
    """
    step = step_function(task, plan)

    def one_epoch(learner: Learner, key: jax.Array, examples: Examples) -> Any:
        order = batches(task, plan, key)
        learner, values = jax.lax.scan(lambda c, i: step(c, (examples.at(i[0]), i[1])), learner, order)
        loss, score = jax.tree.map(jnp.mean, values)
        if learner.best is not None:
            now = Best(loss, *learner[:3])
            lower = loss < learner.best.loss
            learner = learner._replace(best=jax.tree.map(partial(jnp.where, lower), now, learner.best))
        return learner, (loss, score), (values[0], _is_finite((learner.params, learner.state)))

    return jax.jit(one_epoch if plan.members == 1 else seeds.epoch(one_epoch), donate_argnums=0)


def step_function(task: Task, plan: Plan) -> Callable[..., tuple[Learner, tuple[jax.Array, jax.Array]]]:
    """`(learner, (examples, key)) -> (learner, (loss, score))`: one batch, not compiled."""
    rule = optax.with_extra_args_support(optimizer_for(task, plan))

    def loss(params: Tree, state: Tree, examples: Examples, key: jax.Array) -> Any:
        value, (state, output) = task.objective(params, state, examples, key)
        return value, (state, task.measured(task.score, output, examples))

    def step(learner: Learner, batch: tuple[Examples, jax.Array]) -> tuple[Learner, Any]:
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (state, score)), bar = gradient(learner.params, learner.state, *task.drawn(*batch))
        updates, slots = rule.update(bar, learner.optimizer, learner.params, value=value)
        params: Any = optax.apply_updates(learner.params, updates)
        return learner._replace(params=params, state=state, optimizer=slots), (value, score)

    return step


def evaluation(task: Task, members: int = 1) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """`(params, state, examples) -> (output, loss, score)`, compiled, with batch normalization's moving averages.

    It takes 256 examples at a time, so that memory does not grow with their number. Of several members the output is
    that of all together.
    """

    def evaluate(params: Tree, state: Tree, examples: Examples) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(series: Any) -> jax.Array:
            return unequal.outputs(task.model, params, state, *jax.tree.map(lambda part: part[None], series))[0]

        output = jax.lax.map(one, (examples.x, examples.lengths), batch_size=256)
        loss, score = (task.measured(measure, output, examples) for measure in (task.loss, task.score))
        return output, loss, score

    return jax.jit(evaluate if members == 1 else seeds.evaluation(task, evaluate))


def on_device(examples: Examples, learner: Learner) -> Examples:
    """Examples as JAX arrays, inputs of the params' type and so targets where they are not class numbers."""
    dtype = jax.tree.leaves(learner.params)[0].dtype
    x, y, lengths = examples
    own = None if lengths is None else jnp.asarray(lengths, jnp.int32)
    return Examples(jnp.asarray(x, dtype), jnp.asarray(y, dtype if y.dtype.kind == "f" else jnp.int32), own)


def _check(rows: tuple[Row, ...], losses: Any, finite: bool) -> None:
    """Raise `Diverged` for the first bad step of the epoch after those of `rows`."""
    if finite and (losses <= EXPLODED).all():
        return
    lowest = min((row.train_loss for row in rows), default=float(losses[0]))
    bad = ~(losses <= EXPLODED * max(1.0, lowest))
    if bad.any():
        step = int(np.argmax(bad))
        raise Diverged(len(rows) + 1, step + 1, float(losses[step]))
    if not finite:
        raise Diverged(len(rows) + 1, len(losses) + 1, float("nan"))


def _is_finite(tree: Any) -> jax.Array:
    arrays = [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(a).all() for a in arrays]).all()


def _number(value: jax.Array | None) -> float | None:
    return None if value is None else float(value)
