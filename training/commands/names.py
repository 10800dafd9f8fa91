"""The commands of `python -m training.NAME`, and the error for other modules."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..errors import MISTAKE

COMMANDS = {
    "fit": "prove a network's gradients, train it and evaluate it, in a run folder",
    "predict": "predict with a trained network, or export it as one program",
    "compare": "compare runs: a table, JSON, or a picture of their curves",
    "sweep": "train a network for each cell of a grid of options",
}


def listing() -> str:
    """The help text: one line for each command.

    >>> print(listing().splitlines()[0])
    python -m training.fit      prove a network's gradients, train it and evaluate it, in a run folder
    """
    width = max(map(len, COMMANDS))
    lines = [f"python -m training.{name:<{width}}  {words}" for name, words in COMMANDS.items()]
    installed = f"Installed, they are also jconv {', jconv '.join(COMMANDS)}. Each has --help."
    return "\n".join([*lines, "", installed])


def error_message(arguments: Sequence[str]) -> str | None:
    """The error message if Python was started with `-m` and a module of `training` that is not a command; else None.

    >>> error_message(["python", "-m", "training.core.loop"]).partition(";")[0]
    'training.core.loop is not a command'
    >>> error_message(["python", "-m", "training.fit"]) is error_message(["python", "my_script.py"]) is None
    True
    """
    if "-m" not in arguments[:-1]:
        return None
    module = arguments[arguments.index("-m") + 1]
    name = module.removeprefix("training.")
    if name == module or name in (*COMMANDS, "__main__"):
        return None
    return f"{module} is not a command; the commands are {', '.join(f'training.{own}' for own in COMMANDS)}"


def check() -> None:
    """Exit with code 2 and one line if the process runs a module that is not a command.

    Python imports the package while it searches for the module of `-m`; `sys.argv[0]` is then "-m".
    """
    if sys.argv[:1] == ["-m"] and (message := error_message(sys.orig_argv)):
        print(message, file=sys.stderr)
        raise SystemExit(MISTAKE)
