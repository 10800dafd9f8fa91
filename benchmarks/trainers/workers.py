"""Processes that wait for questions, lines of JSON on their standard input: sides of a comparison, or runs at once.

`{}` asks a side for the library's versions and the losses around one step, `{"epochs": n}` for the seconds that n
epochs take. What has a method `answer` hears other questions.

A process ends with the one that asks it, at once, whatever it does and however that ended, and Ctrl-C is heard by that
one alone.
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
from pathlib import Path
from typing import Any, NamedTuple

from jconv.planner.hardware import cores
from training.run.cores import pinned_to, split_cores

from . import fcn


class Side(NamedTuple):
    """One way to compute: its name in the table, what builds it, the packages that needs, and Keras's backend.

    `module`, in `benchmarks`, has a dict `SIDES`, and that has what builds it under `key`.
    """

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
        """The answer to a question. Raises `WorkerError` where there is none."""
        self.tell(**question)
        return self.answer()

    def tell(self, **question: Any) -> None:
        """Put a question, whose answer is to be taken. Raises `WorkerError` where nobody hears it."""
        assert self.process.stdin
        try:
            print(json.dumps(question), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(f"{self.name}: its process ended") from None

    def answer(self) -> dict[str, Any]:
        """The answer to the question that was put. Raises `WorkerError` where there is none."""
        assert self.process.stdout
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
        with self.process:  # waits, and closes both pipes
            pass


class Several:
    """Processes of one side, one for each core, that answer the same questions together."""

    def __init__(self, side: Side, argument: Any) -> None:
        self.workers = side_by_side(side, argument, split_cores(cores()))

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer of the first, with the seconds until all had answered."""
        began = time.perf_counter()
        for worker in self.workers:
            worker.tell(**question)
        first, *_ = [worker.answer() for worker in self.workers]
        return {**first, "seconds": time.perf_counter() - began}

    def stop(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.stop()


def side_by_side(side: Side, argument: Any, parts: Sequence[set[int]]) -> list[Worker]:
    """A process for each share of the cores, held to it."""
    workers = []
    for share in parts:
        with pinned_to(share):
            workers.append(Worker(side, argument))
    return workers


def answers(side: Side, questions: Sequence[dict[str, Any]], count: int) -> Generator[dict[str, Any]]:
    """The answers to questions as they come, of `count` processes side by side, each of which has one after the other.

    Raises `WorkerError` where one of them fails. However it ends, all processes have.
    """
    waiting, workers = list(reversed(questions)), side_by_side(side, None, split_cores(count)[: len(questions)])
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
            worker.stop()


def serve(module: str, key: str, argument: Any) -> None:
    """Be the process of a side: answer each line of standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    side: Any = None
    for line in _lines():
        try:
            side = side or _build(module, key, argument)
            answer = (getattr(side, "answer", None) or partial(_answer, side))(json.loads(line))
        except Exception as error:  # of any library; reported to the process that asked
            first_line = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {first_line}"}
        print(json.dumps(answer), file=answers, flush=True)


def _lines() -> Iterator[str]:
    """The lines of standard input; where they end, so does the process."""
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
    if "torch" in sys.modules:  # its own, or Keras's backend
        sys.modules["torch"].set_num_threads(cores())
    return side


def _answer(training: fcn.Training, question: Mapping[str, Any]) -> dict[str, Any]:
    if "epochs" not in question:
        return {"version": training.version, "losses": training.losses()}
    began = time.perf_counter()
    training.run(question["epochs"])
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
