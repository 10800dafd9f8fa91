"""Worker processes: one for each side of a comparison, or several that compute many runs in parallel.

A worker answers questions, which are lines of JSON on standard input. The answer to `{}` has the library's version and
the losses before and after one step, the answer to `{"epochs": n}` the seconds that n epochs take. A side that has a
method `answer` answers with it instead.

A worker ends immediately when its parent process ends for any reason. It ignores Ctrl-C, which the parent handles.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from training.run.child import pinned_to, split_cores

from ..shared.command import Failure
from ..shared.machine import cores
from . import fcn


class Side(NamedTuple):
    """A side: its name in the table, where it is defined, the packages that it needs, and Keras's backend.

    `SIDES[key]` of `benchmarks.{module}` is the function that builds the side.
    """

    name: str
    module: str
    key: str
    needs: tuple[str, ...] = ()
    backend: str = "jax"

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.needs if find_spec(package) is None]


def installed(sides: Sequence[Side]) -> list[Side]:
    """The sides whose packages are installed; prints a line for each of the others."""
    for side in sides:
        if side.missing:
            print(f"left out: {side.name}: {' and '.join(side.missing)} not installed", flush=True)
    return [side for side in sides if not side.missing]


class WorkerError(Failure):
    """A side could not answer."""


class Worker:
    """The process of a side, for use in its parent. The side is built from `argument`, which is sent as JSON."""

    def __init__(self, side: Side, argument: Any) -> None:
        self.name = side.name
        command = [sys.executable, "-m", "benchmarks.trainers.workers", side.module, side.key, json.dumps(argument)]
        environment = {**os.environ, "KERAS_BACKEND": side.backend, "OMP_NUM_THREADS": str(cores())}
        root = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env=environment,
            start_new_session=True,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask a question and return the answer. Raises `WorkerError` if the process fails."""
        self.tell(**question)
        return self.answer()

    def tell(self, **question: Any) -> None:
        """Send a question, without waiting for the answer. Raises `WorkerError` if the process has ended."""
        assert self.process.stdin
        try:
            print(json.dumps(question), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(f"{self.name}: its process ended") from None

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to the question that was sent. Raises `WorkerError` if the process fails."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        with self.process:  # waits, and closes both pipes
            pass


class WorkerGroup:
    """Processes of one side, one for each core, that answer each question at the same time."""

    def __init__(self, side: Side, argument: Any) -> None:
        self.workers = start_workers(side, argument, split_cores(cores()))

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer of the first process, with the seconds until all have answered."""
        began = time.perf_counter()
        for worker in self.workers:
            worker.tell(**question)
        first, *_ = [worker.answer() for worker in self.workers]
        return {**first, "seconds": time.perf_counter() - began}

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.close()


def start_workers(side: Side, argument: Any, parts: Sequence[set[int]]) -> list[Worker]:
    """A process for each share of the cores, which is pinned to it."""
    workers = []
    for share in parts:
        with pinned_to(share):
            workers.append(Worker(side, argument))
    return workers


def answers(side: Side, questions: Sequence[dict[str, Any]], count: int) -> Generator[dict[str, Any]]:
    """The answers to questions as they arrive, from `count` processes that run in parallel.

    Raises `WorkerError` if one of them fails. At the end, all processes are stopped.
    """
    waiting, workers = list(reversed(questions)), start_workers(side, None, split_cores(count)[: len(questions)])
    try:
        with selectors.DefaultSelector() as busy:
            for worker in workers:
                worker.tell(**waiting.pop())
                assert worker.process.stdout
                busy.register(worker.process.stdout, selectors.EVENT_READ, worker)
            while busy.get_map():
                for key, _ in busy.select():
                    worker: Worker = key.data
                    answer = worker.answer()
                    if waiting:
                        worker.tell(**waiting.pop())
                    else:
                        busy.unregister(key.fileobj)
                    yield answer
    finally:
        for worker in workers:
            worker.close()


def serve(module: str, key: str, argument: Any) -> None:
    """Run the process of a side: answer each line of standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is not an answer
    side: Any = None
    for line in _lines():
        try:
            side = side or _build(module, key, argument)
            answer = (getattr(side, "answer", None) or partial(_answer, side))(json.loads(line))
        except Exception as error:  # any exception, which is reported to the parent
            first_line = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {first_line}"}
        print(json.dumps(answer), file=answers, flush=True)


def _lines() -> Iterator[str]:
    """The lines of standard input; the process ends with them."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield lines.get()


def _build(module: str, key: str, argument: Any) -> Any:
    side = importlib.import_module(f"benchmarks.{module}").SIDES[key](argument)
    if "torch" in sys.modules:  # as the library of the side, or as Keras's backend
        sys.modules["torch"].set_num_threads(cores())
    return side


def _answer(training: fcn.Trainer, question: Mapping[str, Any]) -> dict[str, Any]:
    if "epochs" not in question:
        return {"version": training.version, "losses": training.losses()}
    began = time.perf_counter()
    training.run(question["epochs"])
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
