"""What went wrong, in one line: a mistake of the user's as an exception, and lines on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress


class UserError(ValueError):
    """A mistake in a file or an option, said in one line that names it; the command prints it without a traceback."""


def tell(words: str) -> None:
    """A line on standard error, lost where that cannot be written to: a disk that is full must not end a run."""
    with suppress(OSError):
        print(f"fit: {words}", file=sys.stderr, flush=True)
