"""`python -m training`: the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .commands.names import COMMANDS, MISTAKE, listing


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the commands and return the exit code, 2 where one was given with a space before its name."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(listing())
        return 0
    own = f"training.{given[0]}" if given[0] in COMMANDS else "training.fit"
    print(f"training: {given[0]!r} must be part of the module's name, as in python -m {own}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    raise SystemExit(main())
