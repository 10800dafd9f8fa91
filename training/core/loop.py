"""Training as pure functions: a whole epoch is one compiled call, and so is an evaluation.

By default the learning rate falls along half a cosine to zero over the whole run, and the params that are kept
are the last, which by then have stopped moving, and so have the moving averages of batch normalization; a plan may
halve it on a plateau instead, and keep the params of the lowest training or validation loss. The test set picks
nothing. A network from a file goes on with the optimizer that the file has, at its rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..core import devices
from ..networks import variable_length
from ..tasks import Examples, Task
from . import seeds, stopping
from .learner import Learner, Reached, Row, Tree, best_or_last, now, plateau_scale, with_best
from .loss_scale import is_finite
from .plan import Plan, batches, epoch_key, schedule, steps_per_epoch
from .step import step_function

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
    mesh = devices.mesh_of(learner)
    train = on_device(task.train, learner)
    others = [on_device(part, learner) if part else None for part in (task.test, task.validation)]
    one_epoch, evaluate = epoch_function(task, plan, mesh), evaluation(task, mesh, plan.members)
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


def epoch_function(task: Task, plan: Plan, mesh: Mesh | None = None) -> Callable[..., tuple[Learner, Any, Any]]:
    """`(learner, key, examples) -> (learner, (loss, score), (losses, finite))`, compiled: a pass over them in batches.

    Loss and score are means over the steps, losses that of each step (steps,), and finite
    says whether the params and the state of the learner are. Examples left over after the last full batch sit this
    epoch out; the next one draws another order. On a mesh each batch is cut over it. Of several members the learner and
    the key have a leading axis.
    """
    step = step_function(task, plan)

    def one_epoch(learner: Learner, key: jax.Array, examples: Examples) -> Any:
        order = batches(task, plan, key)

        def one_step(learner: Learner, drawn: tuple[jax.Array, jax.Array]) -> Any:
            index, key = drawn
            return step(learner, (devices.shares(examples.at(index), mesh), key))

        learner, values = jax.lax.scan(one_step, learner, order)
        loss, score = jax.tree.map(jnp.mean, values)
        if plan.watch == "training":
            learner = with_best(learner, loss)
        learner = devices.settled(learner, mesh)
        return learner, (loss, score), (values[0], is_finite((learner.params, learner.state)))

    return jax.jit(one_epoch if plan.members == 1 else seeds.epoch(one_epoch), donate_argnums=0)


def evaluation(
    task: Task, mesh: Mesh | None = None, members: int = 1
) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """`(params, state, examples) -> (output, loss, score)`, compiled, with batch normalization's moving averages.

    It takes at most 256 examples a device at a time, so that memory does not grow with their number. Of several members
    the output is that of all together.
    """

    def evaluate(params: Tree, state: Tree, examples: Examples) -> tuple[jax.Array, jax.Array, jax.Array]:
        def some(index: jax.Array) -> jax.Array:
            x, _, lengths = devices.shares(examples.at(index), mesh)
            return variable_length.outputs(task.model, params, state, x, lengths)

        count, many = len(examples.x), devices.size(mesh)
        turns = -(-count // (256 * many))
        # As many in each turn, and on each device; what is computed twice for that is left out again.
        rows = jnp.arange(turns * many * -(-count // (turns * many))) % count
        output = jax.lax.map(some, rows.reshape(turns, -1))
        output = output.reshape(-1, *output.shape[2:])[:count]
        loss, score = (task.measured(measure, output, examples) for measure in (task.loss, task.score))
        return output, loss, score

    return jax.jit(evaluate if members == 1 else seeds.evaluation(task, evaluate))


def on_device(examples: Examples, learner: Learner) -> Examples:
    """Examples as JAX arrays where the learner lies, of its params' type, and so targets that are no class numbers."""
    dtype = jax.tree.leaves(learner.params)[0].dtype
    x, y, lengths = examples
    own = None if lengths is None else np.asarray(lengths, np.int32)
    typed = Examples(np.asarray(x, dtype), np.asarray(y, dtype if y.dtype.kind == "f" else np.int32), own)
    return devices.recordings(typed, devices.mesh_of(learner))


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
