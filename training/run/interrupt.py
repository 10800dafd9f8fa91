"""Receives Ctrl-C and SIGTERM during training, so that the training loop can stop between two epochs.

An exception during a compiled call would lose the arrays that were donated to it, and with them the run. Python runs a
signal handler only after such a call, which may take minutes. A thread therefore receives the signals: it prints a
message at the first one, and ends the process at a Ctrl-C after that.
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

# The exit codes by which a shell reports these signals.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextmanager
def handling_signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Within the block `handler` is called with the number of each Ctrl-C and SIGTERM.

    Outside the main thread, to which Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in EXIT_CODES}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def catching_signals() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within the block the yielded function returns the first Ctrl-C or SIGTERM, None before it.

    A Ctrl-C after the first signal ends the process immediately with exit code 130. Outside the main thread nothing
    changes.

    >>> with catching_signals() as interrupted:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupted()
    <Signals.SIGINT: 2>
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    seen: list[signal.Signals] = []

    def record(number: int, frame: Any) -> None:
        seen.append(signal.Signals(number))

    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    thread = threading.Thread(target=_listen, args=(receiver,), daemon=True)
    with handling_signals(record):
        former = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        thread.start()
        try:
            yield lambda: seen[0] if seen else None
        finally:
            signal.set_wakeup_fd(former)
            sender.close()  # which ends the thread
            thread.join()
            receiver.close()


def _listen(receiver: socket.socket) -> None:
    """Read the numbers of the signals, a byte each, until the sender is closed."""
    seen: list[int] = []
    while numbers := receiver.recv(64):
        for number in numbers:
            if number not in EXIT_CODES:
                continue
            seen.append(number)
            if number == signal.SIGINT and len(seen) > 1:
                os._exit(EXIT_CODES[signal.SIGINT])
            if len(seen) == 1:
                tell(f"{signal.Signals(number).name}: stopping after this epoch; another Ctrl-C stops at once")
