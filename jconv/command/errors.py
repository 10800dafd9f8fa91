"""Mistakes of the user, printed as one line, and the argument parser that prints them."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

# The exit code for a mistake of the user.
MISTAKE = 2


class UserError(ValueError):
    """A mistake in a file or an option; the command prints the message, one line, without a traceback."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


class Parser(argparse.ArgumentParser):
    """A parser that prints a mistake as one line, and keeps the line breaks of help texts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        print(f"jconv: {message}; {self.prog} --help explains the options", file=sys.stderr)
        raise SystemExit(MISTAKE)
