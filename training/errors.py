"""What went wrong, in one line: a mistake of the user's as an exception, and lines on standard error."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any, NoReturn

MISTAKE = 2
"""The exit code of a command for a mistake of the user's."""


class UserError(ValueError):
    """A mistake in a file or an option, said in one line that names it; the command prints it without a traceback."""


class Parser(argparse.ArgumentParser):
    """That of a command `python -m training.NAME`: a mistake in an option is a line of NAME's and exit code 2.

    Its description and epilog stay as they are written, and options are not abbreviated.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Tell it and leave with exit code 2."""
        print(f"{self.prog.rpartition('.')[2]}: {message}; --help explains the options", file=sys.stderr)
        raise SystemExit(MISTAKE)


def tell(words: str) -> None:
    """A line on standard error, lost where that cannot be written to: a disk that is full must not end a run."""
    with suppress(OSError):
        print(f"fit: {words}", file=sys.stderr, flush=True)
