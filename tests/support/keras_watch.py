"""What happens while a file is loaded: time, memory, and whatever a program can do beyond computing."""

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
DEEDS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "os.remove", "os.rename", "os.mkdir")
DEEDS += ("socket.", "urllib.", "ctypes.", "pickle.", "marshal.", "shutil.", "ftplib.", "webbrowser.", "os.symlink")
_watched: list[list[str]] = []


def _hear(event: str, args: Any) -> None:
    if not _watched:
        return
    if event.startswith(DEEDS) or event == "import":
        _watched[-1].append(f"{event} {args[0] if args else ''}")
    elif event == "open" and not isinstance(args[0], int):
        _watched[-1].append(f"open {os.fspath(args[0])}")


sys.addaudithook(_hear)


@contextmanager
def deeds() -> Iterator[list[str]]:
    """A list that fills with what is imported, opened, run or called over a network."""
    heard: list[str] = []
    _watched.append(heard)
    try:
        yield heard
    finally:
        _watched.remove(heard)


def refused(function: Callable[[], Any], *parts: str, seconds: float = SECONDS) -> str:
    """The one line with which a file is refused; it has the `parts`, and came in time."""
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
    """The message, which is one for a user: a line of bounded length that names no exception by its class."""
    message = str(error)
    assert message.isprintable() and 0 < len(message) <= 1000, message
    assert not re.search(r": [A-Z]\w*(Error|Exception|Warning): ", message), message
    return message


def peak(function: Callable[[], Any]) -> int:
    """The bytes that Python and NumPy hold at most while a function runs, beyond those before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
