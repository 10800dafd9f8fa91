"""jconv's side of `python -m benchmarks.keras_fit`: the published protocol in `training/core/loop.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

import jconv
import jconv.keras
from training.core import protocols
from training.core.learner import init_learner
from training.core.plan import steps_per_epoch
from training.data.datasets import load
from training.tasks import classification

from . import fcn
from .fcn_jax import Loop

PROTOCOL = "dl4tsc"


def build(setup: Any) -> Loop:
    """The training loop with the protocol's plan, on the series that fill complete batches."""
    task = classification(load(setup["data"]), setup["network"], normalize_series=True)
    plan = protocols.plan(PROTOCOL, setup["network"], len(task.train.x))
    full = steps_per_epoch(task, plan) * plan.batch_size
    return Loop(task._replace(train=task.train.at(slice(full)), test=None), plan, init_learner(task, plan, jnp.float32))


def write(setup: dict[str, Any], folder: Any) -> None:
    """Write the inputs of the other sides: `start.keras`, the network of seed 0, and `series.npz`."""
    own = build(setup)
    shape = own.task.train.x.shape[1:]
    model, *trees = _without_dots(own.task.model, own.learner.params, own.learner.state)
    jconv.keras.save(folder / "start.keras", model, *trees, input_shape=shape)
    x, y, _ = own.task.train
    np.savez(folder / "series.npz", x=x.astype(np.float32), y=y, batch_size=own.plan.batch_size)


def _without_dots(model: jconv.Model, *trees: Any) -> tuple[Any, ...]:
    """The model without dots in the names of nodes, which PyTorch does not allow in the name of a module."""

    def replaced(name: str) -> str:
        return name.replace(".", "_")

    nodes = [jconv.Node(replaced(node.name), node.layer, tuple(map(replaced, node.inputs))) for node in model.nodes]
    named = jconv.Model(tuple(nodes), model.inputs, tuple(map(replaced, model.outputs)))
    return named, *({replaced(name): own for name, own in tree.items()} for tree in trees)


SIDES: dict[str, Callable[[Any], fcn.Trainer]] = {"protocol": build}
