"""Worker processes: one for each side of a comparison, or several that compute many runs in parallel.

A worker reads requests, lines of JSON on standard input, and writes a line of JSON in reply to each. The reply to `{}`
contains the library's version and the losses before and after one step; the reply to `{"epochs": n}` contains the
seconds that n epochs take. A side with a method `reply` computes its replies with it instead.

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
    """A side failed to reply."""


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

    def request(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the reply. Raises `WorkerError` if the process fails."""
        self.send(**request)
        return self.receive()

    def send(self, **request: Any) -> None:
        """Send a request, without waiting for the reply. Raises `WorkerError` if the process has ended."""
        assert self.process.stdin
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(f"{self.name}: its process ended") from None

    def receive(self) -> dict[str, Any]:
        """Wait for the reply to the request that was sent. Raises `WorkerError` if the process fails."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": "its process ended"}
        if "error" in reply:
            raise WorkerError(f"{self.name}: {reply['error']}")
        return reply

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        with self.process:  # waits, and closes both pipes
            pass


class WorkerGroup:
    """Processes of one side, one for each core, that handle each request at the same time."""

    def __init__(self, side: Side, argument: Any) -> None:
        self.workers = start_workers(side, argument, split_cores(cores()))

    def request(self, **request: Any) -> dict[str, Any]:
        """The reply of the first process, with the seconds until all have replied."""
        began = time.perf_counter()
        for worker in self.workers:
            worker.send(**request)
        first, *_ = [worker.receive() for worker in self.workers]
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


def replies(side: Side, requests: Sequence[dict[str, Any]], count: int) -> Generator[dict[str, Any]]:
    """The replies to requests as they arrive, from `count` processes that run in parallel.

    Raises `WorkerError` if one of them fails. At the end, all processes are stopped.
    """
    waiting, workers = list(reversed(requests)), start_workers(side, None, split_cores(count)[: len(requests)])
    try:
        with selectors.DefaultSelector() as busy:
            for worker in workers:
                worker.send(**waiting.pop())
                assert worker.process.stdout
                busy.register(worker.process.stdout, selectors.EVENT_READ, worker)
            while busy.get_map():
                for key, _ in busy.select():
                    worker: Worker = key.data
                    reply = worker.receive()
                    if waiting:
                        worker.send(**waiting.pop())
                    else:
                        busy.unregister(key.fileobj)
                    yield reply
    finally:
        for worker in workers:
            worker.close()


def serve(module: str, key: str, argument: Any) -> None:
    """Run the process of a side: reply to each line of standard input."""
    output, sys.stdout = sys.stdout, sys.stderr  # so that what a library prints is not taken for a reply
    side: Any = None
    for line in _lines():
        try:
            side = side or _build(module, key, argument)
            reply = (getattr(side, "reply", None) or partial(_reply, side))(json.loads(line))
        except Exception as error:  # any exception, which is reported to the parent
            first_line = (str(error).strip().splitlines() or [""])[0]
            reply = {"error": f"{type(error).__name__}: {first_line}"}
        print(json.dumps(reply), file=output, flush=True)


def _lines() -> Iterator[str]:
    """The lines of standard input; the process ends when it is closed."""
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


def _reply(training: fcn.Trainer, request: Mapping[str, Any]) -> dict[str, Any]:
    if "epochs" not in request:
        return {"version": training.version, "losses": training.losses()}
    began = time.perf_counter()
    training.run(request["epochs"])
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
