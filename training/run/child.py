"""Runs in processes of their own, to which the signals that would end this process are passed on.

`FIT` with options is `training.fit` in a process that ends with the one that started it, however that ended: by SIGKILL
too, which cannot be passed on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import tell
from .interrupt import EXIT_CODES

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
"""The command of a child that is a run of `training.fit`, whose options follow."""


class Children:
    """While entered, a Ctrl-C or SIGTERM goes to every process that runs, as often as it comes.

    `signal` is the first of them, None before any; after it nothing more is run. The main thread, in which Python
    delivers signals, enters it; each process is run by another thread. Where another one enters it, nothing is passed
    on.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._running: set[subprocess.Popen[Any]] = set()
        self._lock = threading.Lock()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Children:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._pass_on) for number in EXIT_CODES}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], log: Path) -> int | None:
        """The exit code of a command, all of whose words go to a file; None where a signal came before it began."""
        with log.open("wb") as file:
            # A signal that comes meanwhile waits, and then finds the process.
            with self._lock:
                if self.signal is not None:
                    return None
                # A session of its own: the terminal's Ctrl-C comes once, from here.
                # Its standard input ends when this process does, which alone has the other end.
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

    def _pass_on(self, number: int, frame: Any) -> None:
        with self._lock:
            self.signal = self.signal or signal.Signals(number)
            for process in self._running:
                process.send_signal(number)


def end_with_parent() -> None:
    """From now on end this process when its standard input does, which says that the one that started it has ended."""

    def listen() -> None:
        # Not by sys.stdin, whose lock a thread that reads would keep from the end of the process.
        os.read(0, 1)
        tell("the process that started this one has ended, and so does this; --resume goes on")
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
