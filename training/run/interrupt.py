"""Ctrl-C and SIGTERM as a question that the training loop asks between two epochs.

An exception in the middle of a compiled call would lose the arrays that were given to it, and with them the run. And
Python runs a handler only when such a call has returned, which may take minutes: so a thread hears the signals as they
come, tells that the first was heard, and ends the process at the second Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import tell

# What the shell says of a process that the signal ended.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextmanager
def noted() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within the block a first Ctrl-C, or SIGTERM, only shows in what the yielded function returns.

    That is the signal, or None. Another Ctrl-C ends the process at once with exit code 130. Outside the main thread,
    where Python delivers no signals, nothing changes.

    >>> with noted() as interrupted:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupted()
    <Signals.SIGINT: 2>
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    seen: list[signal.Signals] = []

    def note(number: int, frame: Any) -> None:
        seen.append(signal.Signals(number))

    heard, told = socket.socketpair()
    told.setblocking(False)
    thread = threading.Thread(target=_listen, args=(heard,), daemon=True)
    before = {number: signal.signal(number, note) for number in EXIT_CODES}
    former = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield lambda: seen[0] if seen else None
    finally:
        signal.set_wakeup_fd(former)
        for number, handler in before.items():
            signal.signal(number, handler)
        # The thread reads to the end.
        told.close()
        thread.join()
        heard.close()


def _listen(heard: socket.socket) -> None:
    """Read the numbers of the signals as they come, a byte each, until the writing end is closed."""
    seen: list[int] = []
    while numbers := heard.recv(64):
        for number in numbers:
            if number not in EXIT_CODES:
                continue
            seen.append(number)
            if number == signal.SIGINT and len(seen) > 1:
                os._exit(EXIT_CODES[signal.SIGINT])
            if len(seen) == 1:
                tell(f"{signal.Signals(number).name}: stopping after this epoch; another Ctrl-C stops at once")
