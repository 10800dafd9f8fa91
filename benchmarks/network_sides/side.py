"""What all sides share: answers to the process that prints the table, the inputs, and timing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..shared.allocator import keep_memory

FORWARD, STEP = "forward", "training step"
LEARNING_RATE = 1e-3

Call = Callable[[], Any]


class NetworkSide(ABC):
    """Answers questions about one network, in a file that Keras saved.

    A subclass prepares a call for a batch: `forward` returns what gives the output, `step` what takes a step of
    gradient descent on the mean squared error and gives the loss before it. Each call waits for its result.
    """

    def __init__(self) -> None:
        keep_memory()
        self.prepared = cache(self.prepare)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """With `save` the results of `calls` calls are written to that file, with `seconds` calls are timed."""
        call = self.prepared(question["program"], question["batch"])
        if "save" in question:
            np.save(question["save"], np.asarray([call() for _ in range(question["calls"])], np.float32))
            return {}
        return {"milliseconds": timed(call, question["seconds"])}

    def prepare(self, program: str, batch: int) -> Call:
        """The call of a program for a batch."""
        x, shape = examples(self.input_shape, batch), (batch, *self.output_shape)
        return self.forward(x) if program == FORWARD else self.step(x, targets(shape))

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Any) -> Call:
        """The call that computes the output of `x`."""

    def step(self, x: Any, target: Any) -> Call:
        """The call that takes a training step; a side without it is measured forward only."""
        raise NotImplementedError(f"{type(self).__name__} has no training step")


def examples(shape: tuple[int, ...], batch: int) -> Any:
    """The same batch for every side."""
    return np.random.default_rng(0).standard_normal((batch, *shape)).astype("float32")


def targets(shape: tuple[int, ...]) -> Any:
    """The targets of a training step, the same for every side."""
    return np.random.default_rng(1).uniform(size=shape).astype("float32")


def timed(call: Call, seconds: float) -> list[float]:
    """Milliseconds of consecutive calls for about `seconds`, at least one, after one call that is not timed."""
    call()
    found, end = [], time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        found.append(1e3 * (time.perf_counter() - began))
    return found
