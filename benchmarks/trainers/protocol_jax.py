"""jconv's side of `python -m benchmarks.keras_fit`: the published protocol in `training/core/loop.py`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jconv
import jconv.keras
from training.core import loop, protocols
from training.core.learner import Progress, init_learner
from training.core.plan import steps_per_epoch
from training.data.datasets import load
from training.tasks import classification

from . import fcn
from .fcn_jax import VERSION

PROTOCOL = "dl4tsc"


class Protocol:
    """The loop of `training.fit` with the protocol's plan, on as many series as fill batches."""

    version = VERSION

    def __init__(self, setup: Any) -> None:
        task = classification(load(setup["data"]), setup["network"], normalize_series=True)
        plan = protocols.plan(PROTOCOL, setup["network"], len(task.train.x))
        full = steps_per_epoch(task, plan) * plan.batch_size
        self.task = task._replace(train=task.train.at(slice(full)), test=None)
        self.plan, self.learner = plan, init_learner(task, plan, jnp.float32)
        self.epochs: Any = None

    def losses(self) -> list[float]:
        """See `fcn.Training`: two epochs of one step on the first batch."""
        first = self.task._replace(train=self.task.train.at(slice(self.plan.batch_size)))
        epochs = loop.train(first, self.plan, Progress(jax.tree.map(jnp.copy, self.learner), ()))
        return [next(epochs).rows[-1].train_loss for _ in range(2)]

    def run(self, epochs: int) -> None:
        """See `fcn.Training`."""
        if self.epochs is None:
            self.epochs = loop.train(self.task, self.plan, Progress(self.learner, ()))
        for progress in islice(self.epochs, epochs):
            jax.block_until_ready(progress.learner)


def write(setup: dict[str, Any], folder: Any) -> None:
    """Write the inputs of the other sides: `start.keras`, the network of seed 0, and `series.npz`."""
    own = Protocol(setup)
    shape = own.task.train.x.shape[1:]
    model, *trees = _plainly_named(own.task.model, own.learner.params, own.learner.state)
    jconv.keras.save(folder / "start.keras", model, *trees, input_shape=shape)
    x, y, _ = own.task.train
    np.savez(folder / "series.npz", x=x.astype(np.float32), y=y, batch_size=own.plan.batch_size)


def _plainly_named(model: jconv.Model, *trees: Any) -> tuple[Any, ...]:
    """The model without dots in the names of nodes, which PyTorch does not allow in the name of a module."""

    def plain(name: str) -> str:
        return name.replace(".", "_")

    nodes = [jconv.Node(plain(node.name), node.layer, tuple(map(plain, node.inputs))) for node in model.nodes]
    named = jconv.Model(tuple(nodes), model.inputs, tuple(map(plain, model.outputs)))
    return named, *({plain(name): own for name, own in tree.items()} for tree in trees)


SIDES: dict[str, Callable[[Any], fcn.Training]] = {"protocol": Protocol}
