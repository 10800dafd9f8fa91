"""Training as pure functions: a whole epoch is one compiled call, and so is an evaluation.

The order of the examples in epoch e is drawn from `fold_in(key, e)`, so the same key on the same machine gives the same
numbers. By default the learning rate falls along half a cosine to zero over the whole run, and the params that are kept
are the last, which by then have stopped moving, and so have the moving averages of batch normalization; a plan may
halve it on a plateau instead, and keep the params of the lowest training loss. The test set picks nothing. A network
from a file goes on with the optimizer that the file has, at its rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.contrib import reduce_on_plateau

from . import unequal
from .optimizers import OPTIMIZERS
from .tasks import Examples, Task

Tree = dict[str, dict[str, Any]]


# A loss is out of bounds above this many times the lowest epoch's, which counts as at least 1.
EXPLODED = 1e6


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


class Diverged(Exception):
    """A step (both count from 1, the step within its epoch) whose loss is not finite or out of bounds.

    `step` is one more than an epoch has where all losses were good and the params after the last step are not finite.
    """

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(f"epoch {epoch}, step {step}: loss {loss}")
        self.epoch, self.step, self.loss = epoch, step, loss


class Plan(NamedTuple):
    """The numbers of a run.

    `batch_size` is at most the number of training examples; `evaluate_every` is in epochs, and the last epoch is always
    evaluated. `optimizer` is the name of the one that begins afresh, where the task has none that goes on. `keep` is
    "last" or "best", the params of the epoch of the lowest mean training loss. `schedule` is "cosine", half of one to
    zero, or "plateau": the learning rate is halved after 50 epochs without a lower mean loss, to a tenth at least.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    evaluate_every: int
    optimizer: str = "adam"
    keep: str = "last"
    schedule: str = "cosine"


def start(task: Task, plan: Plan, dtype: Any) -> Learner:
    """Params in `dtype`, as Keras draws them from the seed or as the task's file has them, and an optimizer's state."""

    def own(array: Any) -> jax.Array:
        # A copy: what a learner has is given to the first epoch.
        return jnp.array(array, dtype if jnp.issubdtype(array.dtype, jnp.floating) else array.dtype)

    if task.start is None:
        trees = task.model.init(_keys(plan)[0], task.train.x.shape[1:])
    else:
        trees = task.start.params, task.start.state
    params, state = jax.tree.map(own, trees)
    if task.start is not None and task.start.goes_on:
        slots = jax.tree.map(own, task.start.training.state)
    else:
        slots = optimizer(task, plan).init(params)
    if plan.keep == "last":
        return Learner(params, state, slots)
    copy: Any = jax.tree.map(jnp.copy, (params, state, slots))
    return Learner(params, state, slots, Best(jnp.array(jnp.inf, dtype), *copy))


def kept(learner: Learner) -> Learner:
    """The learner that the run is for: the best where that is kept, else the last."""
    return learner if learner.best is None else Learner(*learner.best[1:])


def optimizer(task: Task, plan: Plan) -> optax.GradientTransformation:
    """The plan's, its learning rate falling by its schedule; or the one of the task's file."""
    if task.start is not None and task.start.goes_on:
        return task.start.training.optimizer
    if plan.schedule == "plateau":
        halving = reduce_on_plateau(
            factor=0.5, patience=50, rtol=0.0, atol=1e-4, min_scale=0.1, accumulation_size=steps_per_epoch(task, plan)
        )
        fresh = optax.chain(OPTIMIZERS[plan.optimizer](plan.learning_rate), halving)
    else:
        fresh = OPTIMIZERS[plan.optimizer](_schedule(task, plan))
    return fresh if task.start is None else optax.chain(fresh, task.start.training.optimizer)


def rate_of(plan: Plan, learner: Learner) -> jax.Array:
    """The learning rate at which a plan that halves it has arrived."""
    return plan.learning_rate * learner.optimizer[-1].scale


def train(task: Task, plan: Plan, reached: Reached) -> Iterator[Reached]:
    """Epoch after epoch until the plan's last: where the run then stands, test and validation sets evaluated at times.

    The buffers of a learner that was given or yielded are given back to the next epoch, so keep only the last one.
    Raises `Diverged` in place of an epoch in which something is not finite or the loss explodes.
    """
    learner, rows = reached
    train = on_device(task.train, learner)
    others = [on_device(part, learner) if part else None for part in (task.test, task.validation)]
    one_epoch, evaluate = epoch_function(task, plan), evaluation(task)
    rate, steps = _schedule(task, plan), steps_per_epoch(task, plan)
    for epoch in range(len(rows), plan.epochs):
        learner, (loss, score), (losses, finite) = one_epoch(learner, epoch_key(plan, epoch), train)
        _check(rows, np.asarray(losses), bool(finite))
        due = (epoch + 1) % plan.evaluate_every == 0 or epoch + 1 == plan.epochs
        params, state = kept(learner)[:2]
        found = [evaluate(params, state, part)[1:] if part and due else (None, None) for part in others]
        own = rate_of(plan, learner) if plan.schedule == "plateau" else rate(epoch * steps)
        row = Row(epoch + 1, float(own), float(loss), float(score), *map(_number, chain(*found)))
        rows = (*rows, row)
        yield Reached(learner, rows)


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
        if learner.best is not None:
            now = Best(loss, *learner[:3])
            lower = loss < learner.best.loss
            learner = learner._replace(best=jax.tree.map(partial(jnp.where, lower), now, learner.best))
        return learner, (loss, score), (values[0], _is_finite((learner.params, learner.state)))

    return one_epoch


def step_function(task: Task, plan: Plan) -> Callable[..., tuple[Learner, tuple[jax.Array, jax.Array]]]:
    """`(learner, (examples, key)) -> (learner, (loss, score))`: one batch, not compiled."""
    rule = optax.with_extra_args_support(optimizer(task, plan))

    def loss(params: Tree, state: Tree, examples: Examples, key: jax.Array) -> Any:
        value, (state, output) = task.objective(params, state, examples, key)
        return value, (state, task.score(output, examples.y))

    def step(learner: Learner, batch: tuple[Examples, jax.Array]) -> tuple[Learner, Any]:
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (state, score)), bar = gradient(learner.params, learner.state, *batch)
        updates, slots = rule.update(bar, learner.optimizer, learner.params, value=value)
        params: Any = optax.apply_updates(learner.params, updates)
        return learner._replace(params=params, state=state, optimizer=slots), (value, score)

    return step


def batches(task: Task, plan: Plan, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The indices of the examples of each step of an epoch (steps, batch), and the steps' keys (steps,)."""
    steps = steps_per_epoch(task, plan)
    order = jax.random.permutation(key, len(task.train.x))[: steps * plan.batch_size].reshape(steps, -1)
    # What layers such as dropout draw in each step is of another key than the order.
    return order, jax.random.split(jax.random.fold_in(key, 0), steps)


def epoch_key(plan: Plan, epoch: int) -> jax.Array:
    """The key of an epoch, which counts from 0."""
    return jax.random.fold_in(_keys(plan)[1], epoch)


def evaluation(task: Task) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """`(params, state, examples) -> (output, loss, score)`, compiled, with batch normalization's moving averages.

    It takes 256 examples at a time, so that memory does not grow with their number.
    """

    @jax.jit
    def evaluate(params: Tree, state: Tree, examples: Examples) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(series: Any) -> jax.Array:
            return unequal.outputs(task.model, params, state, *jax.tree.map(lambda part: part[None], series))[0]

        x, y, lengths = examples
        output = jax.lax.map(one, (x, lengths), batch_size=256)
        return output, task.loss(output, y), task.score(output, y)

    return evaluate


def on_device(examples: Examples, learner: Learner) -> Examples:
    """Examples as JAX arrays, inputs of the params' type and so targets where they are not class numbers."""
    dtype = jax.tree.leaves(learner.params)[0].dtype
    x, y, lengths = examples
    own = None if lengths is None else jnp.asarray(lengths, jnp.int32)
    return Examples(jnp.asarray(x, dtype), jnp.asarray(y, dtype if y.dtype.kind == "f" else jnp.int32), own)


def steps_per_epoch(task: Task, plan: Plan) -> int:
    """Full batches in the training set."""
    return len(task.train.x) // plan.batch_size


def _schedule(task: Task, plan: Plan) -> Callable[[Any], Any]:
    training = task.start.training if task.start and task.start.goes_on else None
    if training is not None and training.schedule is not None:
        own, done = training.schedule, training.steps
        return lambda count: own(done + count)
    return optax.cosine_decay_schedule(plan.learning_rate, plan.epochs * steps_per_epoch(task, plan))


def _keys(plan: Plan) -> tuple[jax.Array, jax.Array]:
    """The key of the initial params and that of the order of examples."""
    key = jax.random.key(plan.seed)
    return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)


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
