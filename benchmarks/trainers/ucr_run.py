"""One run of the published protocol, for a data set, network and seed, as a worker of `python -m benchmarks.ucr`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from training.core import loop, protocols
from training.core.learner import Progress, Row, final_learner, init_learner
from training.core.plan import Plan, epoch_key
from training.data.datasets import load
from training.options.types import Interval
from training.run.checkpoints import opened
from training.tasks import Task, classification

from ..shared.allocator import keep_memory
from ..shared.machine import cores
from .workers import Side

PROTOCOL = "dl4tsc"
EVERY = Interval(seconds=60.0)
SIDE = Side("a run", "trainers.ucr_run", "run")


class UcrRun(NamedTuple):
    """A run and its results: the accuracy on the test series in percent, the lowest training loss, the time."""

    data: str
    network: str
    seed: int
    epochs: int
    accuracy: float
    loss: float
    seconds: float
    cores: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Data set, network, seed and epochs, which determine the results."""
        return self[:4]


class Trainer:
    """The side of a worker process, which trains a run for each request."""

    def __init__(self, _: Any) -> None:
        keep_memory()

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """The fields of a `UcrRun`, given its key."""
        return train(**request)._asdict()


def train(data: str, network: str, seed: int, epochs: int, unfinished: str | None = None) -> UcrRun:
    """Train a network on a data set with a seed, by the protocol but for `epochs` epochs.

    `unfinished` is a folder of checkpoints, from which an interrupted run continues. The time is then extrapolated
    from the remaining epochs to all of them.
    """
    began = time.perf_counter()
    task, plan, one_epoch, evaluate = _compiled(data, network, epochs)
    assert task.test is not None
    plan = plan._replace(seed=seed)
    progress = Progress(init_learner(task, plan, jnp.float32), ())
    series = loop.to_device(task.train, progress.learner)
    with opened(Path(unfinished), EVERY) if unfinished else nullcontext() as checkpoints:
        if checkpoints:
            progress = checkpoints.restore(progress.learner) or progress
        first = len(progress.rows)
        for epoch in range(first, epochs):
            learner, (loss, score), _ = one_epoch(progress.learner, epoch_key(plan, epoch), series)
            row = Row(epoch + 1, plan.learning_rate, float(loss), float(score), None, None)
            progress = Progress(learner, (*progress.rows, row))
            if checkpoints and epoch + 1 < epochs:
                checkpoints.offer(progress)
    best = final_learner(progress.learner)
    score = evaluate(best.params, best.state, loop.to_device(task.test, best))[2]
    loss = min(row.train_loss for row in progress.rows)
    seconds = (time.perf_counter() - began) * epochs / (epochs - first)
    return UcrRun(data, network, seed, epochs, 100 * float(score), loss, seconds, cores())


@lru_cache(1)
def _compiled(data: str, network: str, epochs: int) -> tuple[Task, Plan, Callable[..., Any], Callable[..., Any]]:
    """The task, its plan, and the compiled programs, which all seeds of a data set and network share."""
    task = classification(load(data), network, normalize_series=True)
    plan = protocols.plan(PROTOCOL, network, len(task.train.x), epochs=epochs)
    return task, plan, loop.make_epoch(task, plan), loop.make_evaluation(task)


SIDES = {"run": Trainer}
