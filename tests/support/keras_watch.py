"""Observes how a file is loaded: time, memory, and audit events."""

from __future__ import annotations

import os
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jconv.keras import KerasFileError

SECONDS = 15
EVENTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "os.remove", "os.rename", "os.mkdir")
EVENTS += ("socket.", "urllib.", "ctypes.", "pickle.", "marshal.", "shutil.", "ftplib.", "webbrowser.", "os.symlink")
_recordings: list[list[str]] = []


def _record(event: str, args: Any) -> None:
    if not _recordings:
        return
    if event.startswith(EVENTS) or event == "import":
        _recordings[-1].append(f"{event} {args[0] if args else ''}")
    elif event == "open" and not isinstance(args[0], int):
        _recordings[-1].append(f"open {os.fspath(args[0])}")


sys.addaudithook(_record)


@contextmanager
def audit() -> Iterator[list[str]]:
    """A list of the audit events in the `with` block: imports, opened files, processes, network connections."""
    events: list[str] = []
    _recordings.append(events)
    try:
        yield events
    finally:
        _recordings.remove(events)


def refused(function: Callable[[], Any], *parts: str, seconds: float = SECONDS) -> str:
    """Check that `function` raises, in `seconds`, a `KerasFileError` of one line with all `parts`; returns the line."""
    began = time.monotonic()
    with pytest.raises(KerasFileError) as caught:
        function()
    took = time.monotonic() - began
    message = check_line(caught.value)
    for part in parts:
        assert part in message, message
    assert took < seconds, took
    return message


def check_line(error: KerasFileError) -> str:
    """Check that the message is one short line without the name of an exception class; returns the message."""
    message = str(error)
    assert message.isprintable() and 0 < len(message) <= 1000, message
    assert not re.search(r": [A-Z]\w*(Error|Exception|Warning): ", message), message
    return message


def peak(function: Callable[[], Any]) -> int:
    """The largest number of bytes that Python and NumPy allocate while a function runs."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
