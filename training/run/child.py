"""Runs in child processes, which receive the signals of this process, end with it, and have a share of its cores.

They end with it even if it is killed by SIGKILL, which cannot be passed on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import tell

_SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from training.run.child import end_with_parent
end_with_parent()  # before imports that take seconds
from training.fit import main
raise SystemExit(main())
"""

# -P, so that no folder `training` in the working directory is taken for this package.
FIT = (sys.executable, "-P", "-c", _SCRIPT)
"""The command of a child process that runs `training.fit`; append its options."""


class Children:
    """The running child processes. `pass_on` is a handler of signals that passes them on to all of these.

    `signal` is the first signal, None before it; after it no process is started.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._running: set[subprocess.Popen[Any]] = set()
        self._lock = threading.Lock()

    def run(self, command: Sequence[str], log: Path) -> int | None:
        """The exit code of a command whose output goes to a file; None if a signal came before it started."""
        with log.open("wb") as file:
            # A signal that arrives meanwhile waits for the lock, and then finds the process.
            with self._lock:
                if self.signal is not None:
                    return None
                # In a new session the Ctrl-C of the terminal arrives once, from here. The standard input of the child
                # ends with this process, which holds the only other end.
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
                )
                self._running.add(process)
            assert process.stdin
            with process.stdin:
                try:
                    return process.wait()
                finally:
                    with self._lock:
                        self._running.remove(process)

    def pass_on(self, number: int, frame: Any) -> None:
        """Send a signal to all running processes."""
        with self._lock:
            self.signal = self.signal or signal.Signals(number)
            for process in self._running:
                process.send_signal(number)


def end_with_parent() -> None:
    """End this process when its standard input ends, which means that the parent process has ended."""

    def listen() -> None:
        # Not `sys.stdin`: a thread that reads it holds its lock, which blocks the end of the process.
        os.read(0, 1)
        tell("the parent process has ended, so this one ends; --resume continues")
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


def split_cores(count: int) -> list[set[int]]:
    """The cores of this process in `count` parts of about equal size; with more parts than cores, parts share a core.

    The parts are empty if the system does not say which cores a process may use.
    """
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    bounds = pairwise(number * len(own) // count for number in range(count + 1))
    return [set(own[first : max(last, first + 1)]) for first, last in bounds]


@contextmanager
def pinned_to(share: set[int]) -> Iterator[None]:
    """Processes that this thread starts within the block run on these cores, and use as many threads.

    If the share is empty they run on all cores.
    """
    if not share:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, share)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
