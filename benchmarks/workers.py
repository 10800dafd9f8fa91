"""Sides of a comparison, each in a process of its own that waits for questions: lines of JSON on its standard input.

`{}` asks for the library's versions and the losses around one step, `{"epochs": n}` for the seconds that n epochs take.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import fcn
from .cores import cores


class Side(NamedTuple):
    """One way to train: its name in the table, what builds it, the packages that needs, and Keras's backend."""

    name: str
    module: str
    key: str
    needs: tuple[str, ...] = ()
    backend: str = "jax"


class WorkerError(Exception):
    """A side that could not answer; one line."""


class Worker:
    """The process of a side, as the process that asks sees it; `argument` is what the side is built with, as JSON."""

    def __init__(self, side: Side, argument: Any) -> None:
        self.name = side.name
        command = [sys.executable, "-m", "benchmarks.workers", side.module, side.key, json.dumps(argument)]
        environment = {**os.environ, "KERAS_BACKEND": side.backend, "OMP_NUM_THREADS": str(cores())}
        root = Path(__file__).resolve().parents[1]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to a question. Raises `WorkerError` where there is none."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            print(json.dumps(question), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(f"{self.name}: its process ended") from None
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def milliseconds(self, epochs: int) -> float:
        """Train for so many epochs; milliseconds a step."""
        return 1e3 * self.ask(epochs=epochs)["seconds"] / (epochs * fcn.BATCHES)

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def serve(module: str, key: str, argument: Any) -> None:
    """Be the process of a side: answer each line of standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    training = None
    for line in sys.stdin:
        try:
            training = training or _build(module, key, argument)
            answer = _answer(training, json.loads(line))
        except Exception as error:  # of any library; whoever asks is told
            first_line = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {first_line}"}
        print(json.dumps(answer), file=answers, flush=True)


def _build(module: str, key: str, argument: Any) -> fcn.Training:
    training = importlib.import_module(f"benchmarks.{module}").SIDES[key](argument)
    if "torch" in sys.modules:  # its own, or Keras's backend
        sys.modules["torch"].set_num_threads(cores())
    return training


def _answer(training: fcn.Training, question: Mapping[str, Any]) -> dict[str, Any]:
    if "epochs" not in question:
        return {"version": training.version, "losses": training.losses()}
    began = time.perf_counter()
    training.run(question["epochs"])
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
