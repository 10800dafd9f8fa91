"""The list of commands, and the error for a module that is not a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

MISTAKE = 2

COMMANDS = {
    "fit": "prove a network's gradients, train it and evaluate it, in a run folder",
    "predict": "predict with a trained network, or export it as one program",
    "compare": "set runs side by side: a table, JSON, or their curves in one picture",
    "sweep": "train a network for each cell of a grid of options",
}


def listing() -> str:
    """One line for each command.

    >>> print(listing().splitlines()[0])
    python -m training.fit      prove a network's gradients, train it and evaluate it, in a run folder
    """
    width = max(map(len, COMMANDS))
    lines = [f"python -m training.{name:<{width}}  {words}" for name, words in COMMANDS.items()]
    installed = f"Installed, they are also jconv {', jconv '.join(COMMANDS)}. Each has --help."
    return "\n".join([*lines, "", installed])


def refusal(arguments: Sequence[str], package: str = "training") -> str | None:
    """The error message if Python was started with `-m` and a module of the package that is not a command; else None.

    >>> refusal(["python", "-m", "training.core.loop"]).partition(";")[0]
    'training.core.loop is not a command'
    >>> refusal(["python", "-m", "training.fit"]) is refusal(["python", "my_script.py"]) is None
    True
    """
    if "-m" not in arguments[:-1]:
        return None
    module = arguments[arguments.index("-m") + 1]
    name = module.removeprefix(f"{package}.")
    if name == module or name in (*COMMANDS, "__main__"):
        return None
    return f"{module} is not a command; the commands are {', '.join(f'{package}.{own}' for own in COMMANDS)}"


def check() -> None:
    """End the process with one line and exit code 2 if it runs a module that is not a command.

    While Python searches for the module of `-m`, which imports its package, `sys.argv[0]` is "-m".
    """
    if sys.argv[:1] == ["-m"] and (message := refusal(sys.orig_argv)):
        print(message, file=sys.stderr)
        raise SystemExit(MISTAKE)
