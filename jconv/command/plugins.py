"""Subcommands of other installed packages, found by entry points of the group `jconv.commands`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

GROUP = "jconv.commands"
BUILT_IN = ("summary", "verify", "run", "export")


def installed() -> dict[str, EntryPoint]:
    """The entry point of each subcommand by name."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


def find(arguments: Sequence[str]) -> Callable[[Sequence[str]], int] | None:
    """The subcommand named by the first argument: a function from the other arguments to the exit code, or None.

    >>> find(["summary", "model.keras"]) is find(["--help"]) is find([]) is None
    True
    """
    if not arguments or arguments[0].startswith("-") or arguments[0] in BUILT_IN:
        return None
    point = installed().get(arguments[0])
    return None if point is None else point.load()


def help_text() -> str:
    """A paragraph for `jconv --help` that names the subcommands; empty if there are none."""
    names = sorted(installed())
    return f"more commands, each with --help: {', '.join(f'jconv {name}' for name in names)}\n\n" if names else ""
