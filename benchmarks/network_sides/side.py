"""The base class of the sides, which answer questions of the process that prints the table; their inputs and timing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import numpy as np

from ..shared.allocator import keep_memory
from ..shared.timing import WARMED, Call, once

FORWARD, STEP = "forward", "training step"
LEARNING_RATE = 1e-3


class NetworkSide(ABC):
    """Answers questions about one network, in a file that Keras saved.

    A subclass returns functions without arguments: `forward` one that returns the output, and `step` one that takes a
    step of gradient descent on the mean squared error and returns the loss before it. They wait for their result.
    """

    def __init__(self) -> None:
        keep_memory()
        self.prepared = cache(self.prepare)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a question: with `save`, write the results of `calls` calls to this file, else time calls."""
        call = self.prepared(question["program"], question["batch"])
        if "save" in question:
            np.save(question["save"], np.asarray([call() for _ in range(question["calls"])], np.float32))
            return {}
        return {"milliseconds": time_calls(call, question["seconds"])}

    def prepare(self, program: str, batch: int) -> Call:
        """The call of a program for a batch size."""
        x, shape = examples(self.input_shape, batch), (batch, *self.output_shape)
        return self.forward(x) if program == FORWARD else self.step(x, targets(shape))

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Any) -> Call:
        """A function that returns the output for `x`."""

    def step(self, x: Any, target: Any) -> Call:
        """A function that takes a training step and returns the loss before it.

        Sides that are measured forward only have none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no training step")


def examples(shape: tuple[int, ...], batch: int) -> Any:
    """The inputs, the same for every side."""
    return np.random.default_rng(0).standard_normal((batch, *shape)).astype("float32")


def targets(shape: tuple[int, ...]) -> Any:
    """The targets of a training step, the same for every side."""
    return np.random.default_rng(1).uniform(size=shape).astype("float32")


def time_calls(call: Call, seconds: float) -> list[float]:
    """Milliseconds of consecutive calls for about `seconds`, at least one.

    The first call warms up and is not counted, unless it takes so long that this makes no difference.
    """
    _, first = once(call)
    found, end = [1e3 * first] if first > WARMED else [], time.perf_counter() + seconds
    while not found or (first <= WARMED and time.perf_counter() < end):
        found.append(1e3 * once(call)[1])
    return found
