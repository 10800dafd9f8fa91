"""The base class of the sides, each of which runs in a worker process; their inputs and timing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import numpy as np

from ..shared.allocator import keep_memory
from ..shared.timing import MAX_WARMUP_SECONDS, Call, once

FORWARD, STEP = "forward", "training step"
LEARNING_RATE = 1e-3


class NetworkSide(ABC):
    """Computes and times one network, read from a file that Keras saved.

    A subclass returns functions without arguments: `forward` one that returns the output, and `step` one that takes a
    step of gradient descent on the mean squared error and returns the loss before it. They wait for their result.
    """

    def __init__(self) -> None:
        keep_memory()
        self.prepared = cache(self.prepare)

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Reply to a request: with `save`, write the results of `calls` calls to this file, else time calls."""
        call = self.prepared(request["program"], request["batch"])
        if "save" in request:
            np.save(request["save"], np.asarray([call() for _ in range(request["calls"])], np.float32))
            return {}
        return {"milliseconds": time_calls(call, request["seconds"])}

    def prepare(self, program: str, batch: int) -> Call:
        """The function that runs a program for a batch size."""
        x, shape = examples(self.input_shape, batch), (batch, *self.output_shape)
        return self.forward(x) if program == FORWARD else self.step(x, targets(shape))

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Any) -> Call:
        """A function that returns the output for `x`."""

    def step(self, x: Any, target: Any) -> Call:
        """A function that takes a training step and returns the loss before it.

        Not defined by sides of which only the forward pass is measured.
        """
        raise NotImplementedError(f"{type(self).__name__} has no training step")


def examples(shape: tuple[int, ...], batch: int) -> Any:
    """The inputs, the same for every side."""
    return np.random.default_rng(0).standard_normal((batch, *shape)).astype("float32")


def targets(shape: tuple[int, ...]) -> Any:
    """The targets of a training step, the same for every side."""
    return np.random.default_rng(1).uniform(size=shape).astype("float32")


def time_calls(call: Call, seconds: float) -> list[float]:
    """The milliseconds of each call, for about `seconds` and at least once.

    The first call warms up and is not counted, unless it takes so long that this makes no difference.
    """
    _, first = once(call)
    times, end = [1e3 * first] if first > MAX_WARMUP_SECONDS else [], time.perf_counter() + seconds
    while not times or (first <= MAX_WARMUP_SECONDS and time.perf_counter() < end):
        times.append(1e3 * once(call)[1])
    return times
