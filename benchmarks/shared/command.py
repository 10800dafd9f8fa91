"""The option parser, the exit code and the JSON file of a benchmark."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.errors import MISTAKE, Parser, UserError
from training.run import durable

DONE, FAILED, INTERRUPTED = 0, 1, 130

JSON: dict[str, Any] = {"type": Path, "metavar": "FILE", "help": "write all measurements to this file"}
"""The arguments of `add_argument` for `--json`."""


class Failure(Exception):
    """A benchmark cannot be completed; the message is one line."""


def parser(name: str, docstring: str | None, epilog: str | None = None) -> Parser:
    """The option parser of `python -m benchmarks.NAME`.

    The first paragraph of the module's docstring is the description, the others are the epilog unless one is given.
    """
    description, _, rest = (docstring or "").partition("\n\n")
    return Parser(prog=f"python -m benchmarks.{name}", description=description, epilog=epilog or rest or None)


def check_folder(parser: Parser, options: argparse.Namespace) -> None:
    """End with an error if the file of `--json` is in a folder that does not exist."""
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: there is no folder {options.json.parent}")


def exit_code(name: str, run: Callable[[], int | None]) -> int:
    """Run a benchmark and return its exit code; None means that all is well.

    An error in an option or a file, a `Failure`, a wrong result (`ArithmeticError`) or Ctrl-C is printed in one line.
    """
    try:
        return run() or DONE
    except UserError as error:
        code, message = MISTAKE, str(error)
    except (Failure, ArithmeticError) as error:
        code, message = FAILED, str(error)
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    print(f"{name}: {message}", file=sys.stderr)
    return code


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, completely or not at all, and create its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, (json.dumps(content, indent=1) + "\n").encode())
