"""Training as pure functions: a whole epoch is one compiled call, and so is an evaluation.

By default the learning rate falls along half a cosine to zero over the whole run, and the params that are kept
are the last, which by then have stopped moving, and so have the moving averages of batch normalization; a plan may
halve it on a plateau instead, and keep the params of the lowest training or validation loss. The test set picks
nothing. A network from a file goes on with the optimizer that the file has, at its rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import stopping, unequal
from .learner import Learner, Reached, Row, Tree, best_or_last, now, plateau_scale, with_best
from .loss_scale import is_finite
from .plan import Plan, batches, epoch_key, schedule, steps_per_epoch
from .step import step_function
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
    """Epoch after epoch until the run ends: where it then stands, test and validation sets evaluated at times.

    The buffers of a learner that was given or yielded are given back to the next epoch, so keep only the last one.
    Raises `Diverged` in place of an epoch in which something is not finite or the loss explodes.
    """
    learner, rows = reached
    train = on_device(task.train, learner)
    others = [on_device(part, learner) if part else None for part in (task.test, task.validation)]
    one_epoch, evaluate = epoch_function(task, plan), evaluation(task)
    with_watched = jax.jit(with_best, donate_argnums=0)
    rate, steps = schedule(task, plan), steps_per_epoch(task, plan)
    for epoch in range(len(rows), plan.epochs):
        if stopping.ends(plan, rows):
            return
        learner, (loss, score), (losses, finite) = one_epoch(learner, epoch_key(plan, epoch), train)
        _check(rows, np.asarray(losses), bool(finite))
        own = rate(epoch * steps) * (plateau_scale(learner) if plan.schedule == "plateau" else 1)
        row = Row(epoch + 1, float(own), float(loss), float(score), None, None)
        last = epoch + 1 == plan.epochs or (plan.watch == "training" and stopping.ends(plan, (*rows, row)))
        due = last or (epoch + 1) % plan.evaluate_every == 0
        params, state = evaluated(plan, learner)[:2]
        found = [evaluate(params, state, part)[1:] if part and due else (None, None) for part in others]
        if plan.watch == "validation":
            learner = with_watched(learner, found[1][0])
        rows = (*rows, Row(*row[:4], *map(_number, chain(*found))))
        yield Reached(learner, rows)


def evaluated(plan: Plan, learner: Learner) -> Learner:
    """The learner that an epoch's evaluation is of: the one that is kept so far, or that is to be chosen from."""
    return now(learner) if plan.watch == "validation" else best_or_last(learner)


def epoch_function(task: Task, plan: Plan) -> Callable[..., tuple[Learner, Any, Any]]:
    """`(learner, key, examples) -> (learner, (loss, score), (losses, finite))`, compiled: a pass over them in batches.

    Loss and score are means over the steps, losses that of each step (steps,), and finite
    says whether the params and the state of the learner are. Examples left over after the last full batch sit this
    epoch out; the next one draws another order.
    """
    step = step_function(task, plan)

    @partial(jax.jit, donate_argnums=0)
    def one_epoch(learner: Learner, key: jax.Array, examples: Examples) -> Any:
        order = batches(task, plan, key)
        learner, values = jax.lax.scan(lambda c, i: step(c, (examples.at(i[0]), i[1])), learner, order)
        loss, score = jax.tree.map(jnp.mean, values)
        if plan.watch == "training":
            learner = with_best(learner, loss)
        return learner, (loss, score), (values[0], is_finite((learner.params, learner.state)))

    return one_epoch


def evaluation(task: Task) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """`(params, state, examples) -> (output, loss, score)`, compiled, with batch normalization's moving averages.

    It takes 256 examples at a time, so that memory does not grow with their number.
    """

    @jax.jit
    def evaluate(params: Tree, state: Tree, examples: Examples) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(series: Any) -> jax.Array:
            return unequal.outputs(task.model, params, state, *jax.tree.map(lambda part: part[None], series))[0]

        output = jax.lax.map(one, (examples.x, examples.lengths), batch_size=256)
        loss, score = (task.measured(measure, output, examples) for measure in (task.loss, task.score))
        return output, loss, score

    return evaluate


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


def _number(value: jax.Array | None) -> float | None:
    return None if value is None else float(value)
