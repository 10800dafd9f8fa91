"""The training loop. An epoch is one compiled call, and so is an evaluation.

The test set chooses nothing: the params that are kept are the last ones, or those with the lowest training or
validation loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..arrays import Tree
from ..networks import variable_length
from ..tasks import Examples, Task
from . import devices, ensemble, stopping
from .learner import Learner, Progress, Row, final_learner, plateau_scale, update_best, with_averages
from .loss_scale import all_finite
from .plan import Plan, batches, epoch_key, schedule, steps_per_epoch
from .step import make_step

# A loss above this factor times the lowest loss of an epoch, or times 1 if that is larger, counts as divergence.
EXPLOSION_FACTOR = 1e6
# Examples that a device evaluates at a time, so that memory does not grow with the data.
EVALUATION_BATCH = 256


class Diverged(Exception):
    """The loss of a step is not finite or has exploded. Epochs, and steps within them, count from 1.

    `step` is one more than the number of steps in an epoch if all losses were good, but the params after the last step
    are not finite.
    """

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(f"epoch {epoch}, step {step}: loss {loss}")
        self.epoch, self.step, self.loss = epoch, step, loss


def train(task: Task, plan: Plan, progress: Progress) -> Iterator[Progress]:
    """Yield the progress after each epoch until the run ends.

    The buffers of a learner that was passed or yielded are donated to the next epoch: use only the last one. The test
    and validation sets are evaluated every `plan.evaluate_every` epochs and after the last. Raises `Diverged` in place
    of an epoch in which a value is not finite or the loss explodes.
    """
    learner, rows = progress
    mesh = devices.mesh_of(learner)
    train = to_device(task.train, learner)
    held_out = [to_device(part, learner) if part else None for part in (task.test, task.validation)]
    one_epoch, evaluate = make_epoch(task, plan, mesh), make_evaluation(task, mesh, plan.members)
    update_watched_best = jax.jit(update_best, donate_argnums=0)
    rate, steps = schedule(task, plan), steps_per_epoch(task, plan)
    for epoch in range(len(rows), plan.epochs):
        if stopping.should_stop(plan, rows):
            return
        learner, (loss, score), (losses, finite) = one_epoch(learner, epoch_key(plan, epoch), train)
        _check_finite(rows, np.asarray(losses), bool(finite))
        current_rate = rate(epoch * steps) * (plateau_scale(learner) if plan.schedule == "plateau" else 1)
        row = Row(epoch + 1, float(current_rate), float(loss), float(score), None, None)
        is_last = epoch + 1 == plan.epochs or (plan.watch == "training" and stopping.should_stop(plan, (*rows, row)))
        is_due = is_last or (epoch + 1) % plan.evaluate_every == 0
        # If the validation loss chooses the best params, the newest are evaluated, else those that are kept.
        evaluated = with_averages(learner) if plan.watch == "validation" else final_learner(learner)
        found = [evaluate(*evaluated[:2], part)[1:] if part and is_due else (None, None) for part in held_out]
        if plan.watch == "validation":
            learner = update_watched_best(learner, found[1][0])
        values = (None if value is None else float(value) for value in chain(*found))
        rows = (*rows, Row(*row[:4], *values))
        yield Progress(learner, rows)


def make_epoch(task: Task, plan: Plan, mesh: Mesh | None = None) -> Callable[..., tuple[Learner, Any, Any]]:
    """`(learner, key, examples) -> (learner, (loss, score), (losses, finite))`, compiled: one pass over the examples.

    Loss and score are means over the steps, `losses` (steps,) has the loss of each, and `finite` says whether the new
    params and state are finite. Examples that do not fill the last batch are left out; each epoch draws another order.
    For an ensemble, learner and key have a leading axis. Tasks that differ only in their arrays, and plans that differ
    only in their seed, share one compiled epoch: the folds of a cross-validation, the members of an ensemble.
    """
    if task.pretrained is not None:
        return _make_epoch(task, plan, mesh)
    # Hashable, and without the arrays of the first task, which a cache would keep: only their number is read.
    count = range(len(task.train.x))
    shared: Any = task._replace(train=Examples(count, None), test=None, validation=None, baseline=())
    return _shared_epoch(shared._replace(scaling=()), plan._replace(seed=0), mesh)


def _make_epoch(task: Task, plan: Plan, mesh: Mesh | None) -> Callable[..., tuple[Learner, Any, Any]]:
    step = make_step(task, plan)

    def one_epoch(learner: Learner, key: jax.Array, examples: Examples) -> Any:
        def one_step(learner: Learner, batch: tuple[jax.Array, jax.Array]) -> Any:
            index, key = batch
            return step(learner, (devices.shard_batch(examples.at(index), mesh), key))

        learner, values = jax.lax.scan(one_step, learner, batches(task, plan, key))
        loss, score = jax.tree.map(jnp.mean, values)
        if plan.watch == "training":
            learner = update_best(learner, loss)
        learner = devices.constrain_replicated(learner, mesh)
        return learner, (loss, score), (values[0], all_finite((learner.params, learner.state)))

    return jax.jit(one_epoch if plan.members == 1 else ensemble.vmap_epoch(one_epoch), donate_argnums=0)


_shared_epoch = lru_cache(maxsize=8)(_make_epoch)


def make_evaluation(
    task: Task, mesh: Mesh | None = None, members: int = 1
) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """`(params, state, examples) -> (output, loss, score)`, compiled; for an ensemble, of the combined outputs."""

    def outputs(params: Tree, state: Tree, examples: Examples) -> jax.Array:
        def evaluate_batch(index: jax.Array) -> jax.Array:
            x, _, lengths = devices.shard_batch(examples.at(index), mesh)
            return variable_length.outputs(task.model, params, state, x, lengths)

        count, shards = len(examples.x), devices.axis_size(mesh)
        turns = -(-count // (EVALUATION_BATCH * shards))
        # Batches of equal size, also on each device: some examples are computed twice and dropped.
        rows = jnp.arange(turns * shards * -(-count // (turns * shards))) % count
        output = jax.lax.map(evaluate_batch, rows.reshape(turns, -1))
        return output.reshape(-1, *output.shape[2:])[:count]

    def evaluate(params: Tree, state: Tree, examples: Examples) -> tuple[jax.Array, jax.Array, jax.Array]:
        if members == 1:
            output = outputs(params, state, examples)
        else:
            each = ensemble.vmap_members(outputs)(params, state, examples)
            output = ensemble.combine_outputs(each, bool(task.classes))
        loss, score = (task.evaluate_metric(metric, output, examples) for metric in (task.loss, task.score))
        return output, loss, score

    return jax.jit(evaluate)


def to_device(examples: Examples, learner: Learner) -> Examples:
    """Examples as JAX arrays on the learner's devices; floating-point arrays have the dtype of its params."""
    dtype = jax.tree.leaves(learner.params)[0].dtype
    x, y, lengths = examples
    lengths = None if lengths is None else np.asarray(lengths, np.int32)
    typed = Examples(np.asarray(x, dtype), np.asarray(y, dtype if y.dtype.kind == "f" else np.int32), lengths)
    return devices.place_examples(typed, devices.mesh_of(learner))


def _check_finite(rows: tuple[Row, ...], losses: Any, finite: bool) -> None:
    """Raise `Diverged` for the first bad step of the epoch that follows `rows`."""
    lowest = min((row.train_loss for row in rows), default=float(losses[0]))
    is_bad = ~(losses <= EXPLOSION_FACTOR * max(1.0, lowest))
    if is_bad.any():
        step = int(np.argmax(is_bad))
        raise Diverged(len(rows) + 1, step + 1, float(losses[step]))
    if not finite:
        raise Diverged(len(rows) + 1, len(losses) + 1, float("nan"))
