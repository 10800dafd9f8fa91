"""Commands that installed packages add to `jconv`, by entry points of the group `jconv.commands`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

GROUP = "jconv.commands"
BUILT_IN = ("summary", "verify", "run", "export")


def installed() -> dict[str, EntryPoint]:
    """The entry point of each added command, by the command's name."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


def find(words: Sequence[str]) -> Callable[[Sequence[str]], int] | None:
    """The added command that a command line begins with: a function of its arguments that returns the exit code.

    >>> find(["summary", "model.keras"]) is find(["--help"]) is find([]) is None
    True
    """
    if not words or words[0].startswith("-") or words[0] in BUILT_IN:
        return None
    point = installed().get(words[0])
    return None if point is None else point.load()


def listing() -> str:
    """A line for `jconv --help` that names the added commands; empty where there is none."""
    names = sorted(installed())
    return f"more commands, each with --help: {', '.join(f'jconv {name}' for name in names)}\n\n" if names else ""
