"""The network in JAX: trained as by `python -m training.fit`, and written with JAX and optax alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jconv
from training import tasks
from training.core import loop
from training.core.learner import Learner, Progress, init_learner
from training.core.plan import Plan
from training.data import datasets
from training.tasks import Task

from . import fcn

VERSION = f"jconv {jconv.__version__}, JAX {jax.__version__}"


class Loop:
    """The loop of `training/core/loop.py` with the jconv model."""

    version = VERSION

    def __init__(self, task: Task, plan: Plan, learner: Learner) -> None:
        self.task, self.plan, self.learner = task, plan, learner
        self.epochs: Any = None

    def losses(self) -> list[float]:
        """See `fcn.Trainer`: two epochs of one step on the first batch."""
        first = self.task._replace(train=self.task.train.at(slice(self.plan.batch_size)))
        epochs = loop.train(first, self.plan, Progress(jax.tree.map(jnp.copy, self.learner), ()))
        return [next(epochs).rows[-1].train_loss for _ in range(2)]

    def run(self, epochs: int) -> None:
        """See `fcn.Trainer`."""
        if self.epochs is None:
            self.epochs = loop.train(self.task, self.plan, Progress(self.learner, ()))
        for progress in islice(self.epochs, epochs):
            jax.block_until_ready(progress.learner)


def build(batch_size: int) -> Loop:
    """The loop for the network with the initial params."""
    x, y = fcn.series(batch_size)
    task = tasks.classification(datasets.Dataset("series", x.astype(float), y, None, None, ("0", "1")))
    # With this many epochs the learning rate is practically constant.
    plan = Plan(10**6, batch_size, fcn.LEARNING_RATE, seed=0, evaluate_every=1)
    learner = init_learner(task, plan, jnp.float32)
    return Loop(task, plan, learner._replace(params=jax.tree.map(jnp.asarray, fcn.initial_params())))


class Plain:
    """The network without layers: an epoch is a scan of steps, or each step is a compiled call."""

    def __init__(self, batch_size: int, convolution: Callable[..., jax.Array], scanned: bool) -> None:
        ours = convolution is jconv.conv_general_dilated
        self.version = VERSION if ours else f"JAX {jax.__version__}"
        self.batch_size, self.scanned = batch_size, scanned
        self.x, self.y = (jnp.asarray(part) for part in fcn.series(batch_size))
        params = jax.tree.map(jnp.asarray, fcn.initial_params())
        self.learner = params, _initial_state(), _ADAM.init(params)
        step = partial(_step, convolution)
        self.one_step = jax.jit(step, donate_argnums=0)
        self.one_epoch = jax.jit(partial(_epoch, step, batch_size), donate_argnums=0)

    def losses(self) -> list[float]:
        """See `fcn.Trainer`."""
        losses = []
        for _ in range(2):
            self.learner, loss = self.one_step(self.learner, (self.x[: self.batch_size], self.y[: self.batch_size]))
            losses.append(float(loss))
        return losses

    def run(self, epochs: int) -> None:
        """See `fcn.Trainer`."""
        for epoch in range(epochs):
            if self.scanned:
                self.learner, loss = self.one_epoch(self.learner, jax.random.key(epoch), self.x, self.y)
            else:
                loss = jnp.zeros(())
                order = np.random.default_rng(epoch).permutation(len(self.x)).reshape(fcn.BATCHES, -1)
                for rows in order:
                    self.learner, loss = self.one_step(self.learner, (self.x[rows], self.y[rows]))
            float(loss)
        jax.block_until_ready(self.learner)


SIDES: dict[str, Callable[[int], fcn.Trainer]] = {
    "loop": build,
    "lax scanned": partial(Plain, convolution=jax.lax.conv_general_dilated, scanned=True),
    "lax calls": partial(Plain, convolution=jax.lax.conv_general_dilated, scanned=False),
    "jconv scanned": partial(Plain, convolution=jconv.conv_general_dilated, scanned=True),
}

_ADAM = optax.adam(fcn.LEARNING_RATE, eps=fcn.ADAM_EPSILON)


def _initial_state() -> list[tuple[jax.Array, jax.Array]]:
    return [(jnp.zeros(filters), jnp.ones(filters)) for filters, _ in fcn.BLOCKS]


def _loss(params: Any, state: Any, x: jax.Array, y: jax.Array, convolution: Callable[..., jax.Array]) -> Any:
    new_state = []
    for block, moving in enumerate(state):
        suffix = f"_{block}" if block else ""
        conv, norm = params[f"conv1d{suffix}"], params[f"batch_normalization{suffix}"]
        x = convolution(x, conv["kernel"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")) + conv["bias"]
        batch = x.mean((0, 1)), x.var((0, 1))
        new_state.append(
            tuple(fcn.NORM_MOMENTUM * m + (1 - fcn.NORM_MOMENTUM) * b for m, b in zip(moving, batch, strict=True))
        )
        x = (x - batch[0]) * jax.lax.rsqrt(batch[1] + fcn.NORM_EPSILON) * norm["gamma"] + norm["beta"]
        x = jax.nn.relu(x)
    logits = x.mean(1) @ params["dense"]["kernel"] + params["dense"]["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new_state


def _step(convolution: Callable[..., jax.Array], learner: Any, batch: Any) -> Any:
    params, state, optimizer = learner
    (loss, state), bar = jax.value_and_grad(_loss, has_aux=True)(params, state, *batch, convolution)
    updates, optimizer = _ADAM.update(bar, optimizer)
    return (optax.apply_updates(params, updates), state, optimizer), loss


def _epoch(step: Callable[..., Any], batch_size: int, learner: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> Any:
    order = jax.random.permutation(key, len(x)).reshape(-1, batch_size)
    learner, losses = jax.lax.scan(lambda c, rows: step(c, (x[rows], y[rows])), learner, order)
    return learner, losses.mean()
