"""Errors in the user's options and files, messages, and results on standard output."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

MISTAKE = 2
"""The exit code for an error in options or files."""


class UserError(ValueError):
    """An error in a file or an option, in one line that names it; commands print it without a traceback."""


class Parser(argparse.ArgumentParser):
    """The option parser of a command `python -m training.NAME`. An error is one line that begins with NAME.

    Description and epilog keep their line breaks, and options cannot be abbreviated.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's, but a file name that is not UTF-8 is an error: reports and messages could not be written."""
        args = sys.argv[1:] if args is None else args
        for text in args:
            try:
                text.encode()
            except UnicodeEncodeError:
                self.error(f"{text!r} is not text in UTF-8; rename the file")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        print(f"{self.prog.rpartition('.')[2]}: {message}; --help explains the options", file=sys.stderr)
        raise SystemExit(MISTAKE)


def first_line(error: BaseException, max_length: int | None = None) -> str:
    """The first line of an error's message, cut after `max_length` characters; without a message, the class's name."""
    return (str(error).splitlines() or [type(error).__name__])[0][:max_length]


def require(message: str, *modules: str) -> None:
    """Raise `UserError` with the message unless all modules of optional dependencies can be imported."""
    try:
        for name in modules:
            importlib.import_module(name)
    except ImportError:
        raise UserError(message) from None


def tell(message: str) -> None:
    """Print a line on standard error. A failure, as of a log file on a full disk, must not end a run and is ignored."""
    with suppress(OSError):
        print(f"fit: {message}", file=sys.stderr, flush=True)


def say(message: str, file: Any = None) -> None:
    """Print a message, by default on standard output. As for `tell`, a failure must not end a run and is ignored."""
    file = sys.stdout if file is None else file
    # Characters that the encoding of the output lacks become escapes.
    encoding = getattr(file, "encoding", None) or "utf-8"
    with suppress(UserError):
        output(message.encode(encoding, "backslashreplace").decode(encoding) + "\n", file)


def output(text: str, file: Any = None) -> None:
    """Print results, by default on standard output. Raises `UserError` if they cannot be written."""
    file = sys.stdout if file is None else file
    try:
        print(text, end="", flush=True, file=file)
    except OSError as error:
        # Otherwise Python tries to write the same text again when the process ends.
        with suppress(OSError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), file.fileno())
        raise UserError(f"standard output: cannot be written to: {error.strerror or first_line(error)}") from None
    except UnicodeEncodeError as error:
        raise UserError(f"standard output: cannot be written to: {first_line(error)}") from None
