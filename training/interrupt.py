"""Ctrl-C as a question that the training loop asks between two epochs.

An exception in the middle of a compiled call would lose the arrays that were given to it, and with them the run.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Within the block a first Ctrl-C only makes the yielded function return True; a second one raises as usual.

    Outside the main thread, where Python delivers no signals, nothing changes.

    >>> with noted() as interrupted:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupted()
    True
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen = []

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
