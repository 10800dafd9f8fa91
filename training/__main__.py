"""`python -m training`: a list of the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .commands.names import COMMANDS, listing
from .errors import MISTAKE


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the commands and return the exit code.

    An argument other than `--help` is an error with exit code 2, whose message names the right command: for
    `python -m training fit`, `python -m training.fit`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(listing())
        return 0
    name, *_ = arguments
    module = f"training.{name if name in COMMANDS else 'fit'}"
    print(f"training: {name!r} must be part of the module's name, as in python -m {module}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    raise SystemExit(main())
