"""Tests one published file: loads it, compares it with Keras, saves and loads it again, and times it."""

from __future__ import annotations

import multiprocessing
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import numpy as np

import jconv

from ..shared.timing import compute_inline, medians, once
from .manifest import BATCH, Inputs, Recorded, examples
from .stand_ins import STAND_INS

MAX_SECONDS, MAX_MEMORY = 300, 8 * 2**30
"""The limits of one file on time, and on allocated bytes."""


class Trial(NamedTuple):
    """The result for a file. Errors are one line; None means that something was not tested."""

    error: str | None = None
    is_refused: bool = False
    unsupplied: str | None = None
    """The refusal without the stand-ins; empty if the file loads without them."""
    inputs: Inputs | None = None
    deviation: float | None = None
    saved: str | None = None
    """Empty if the file that jconv wrote computes the same, else the reason."""
    load_ms: float | None = None
    forward_ms: float | None = None


def try_file(path: Path, supplied: str, recorded: Recorded | None, only_loads: bool = False) -> Trial:
    """Test a file, or only load it. The result contains all errors."""
    options = STAND_INS[supplied] if supplied else {}
    try:
        (model, params, state), seconds = once(partial(jconv.keras.load, path, **options))
    except ValueError as error:
        return Trial(_line(error), is_refused=True)
    trial = Trial(load_ms=1e3 * seconds, unsupplied=_refusal(path) if supplied else None)
    try:
        inputs = recorded.inputs if recorded else _inputs(model)
        trial = trial._replace(inputs=inputs)
        if only_loads:
            return trial
        x = examples(inputs)
        outputs, forward = _forward(model, params, state, x)
        if recorded:
            trial = trial._replace(deviation=recorded.deviation(outputs))
        trial = trial._replace(saved=_saved(model, params, state, x, outputs, options))
        first = once(forward)[1]
        timing = medians({"forward": forward}, {"forward": first}, max_repeats=15, budget=0.2)
        return trial._replace(forward_ms=timing["forward"].milliseconds)
    except Exception as error:  # any exception, so that one file does not end the run
        return trial._replace(error=_line(error))


def _inputs(model: Any) -> Inputs:
    """The shapes of inputs that a model accepts, with a batch, and the rows of embeddings."""
    shapes, rows = model.accepted_shapes(), model.integer_inputs()
    return tuple(((BATCH, *shapes[name]), rows.get(name)) for name in model.inputs)


def _forward(model: Any, params: Any, state: Any, x: list[Any]) -> tuple[list[Any], Any]:
    """The outputs, and a function that computes them again."""
    apply = jax.jit(lambda params, state, x: model.apply(params, state, x)[0])
    named = dict(zip(model.inputs, x, strict=True))

    def call() -> Any:
        return jax.block_until_ready(apply(params, state, named if len(x) > 1 else x[0]))

    y = call()
    return [np.asarray(value) for value in ([y[name] for name in model.outputs] if isinstance(y, dict) else [y])], call


def _refusal(path: Path) -> str:
    try:
        jconv.keras.load(path)
    except ValueError as error:
        return _line(error)
    return ""


def _saved(model: Any, params: Any, state: Any, x: list[Any], outputs: list[Any], options: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory(prefix="jconv-") as folder:
        path = Path(folder, "saved.keras")
        try:
            jconv.keras.save(path, model, params, state)
        except ValueError as error:
            return _line(error)
        model, params, state = jconv.keras.load(path, **options)
        again, _ = _forward(model, params, state, x)
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(again, outputs, strict=True)):
        return ""
    scale = max((float(np.abs(y).max(initial=0)) for y in outputs), default=0.0) or 1.0
    worst = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(again, outputs, strict=True)) / scale
    return "" if worst <= 1e-6 else f"the file that jconv wrote deviates by {worst:.1e}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


class TrialProcess:
    """A process with a limit on memory that tests files one after the other; after a failure a new one is started."""

    def __init__(self, seconds: float = MAX_SECONDS, memory: int = MAX_MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self.process: Any = None
        self.pipe: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, path: Path, supplied: str, recorded: Recorded | None, only_loads: bool = False) -> Trial:
        """`try_file` in the process."""
        if self.process is None:
            spawn = multiprocessing.get_context("spawn")
            self.pipe, other = spawn.Pipe()
            self.process = spawn.Process(target=_serve, args=(other, self.memory), daemon=True)
            self.process.start()
            other.close()
        try:
            self.pipe.send((path, supplied, recorded, only_loads))
            if self.pipe.poll(self.seconds):
                return self.pipe.recv()
            reason = f"it needs more than {self.seconds:g} seconds"
        except (EOFError, OSError):
            self.process.join(5)
            reason = f"its process ended with exit code {self.process.exitcode}"
        self._stop()
        return Trial(reason)

    def _stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
        self.process = None


def _serve(pipe: Any, memory: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compute_inline()
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            pipe.send(try_file(*pipe.recv()))
