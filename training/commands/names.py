"""The commands `python -m training.NAME`, and what is said of a module that is none."""

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
    """The commands, a line each.

    >>> print(listing().splitlines()[0])
    python -m training.fit      prove a network's gradients, train it and evaluate it, in a run folder
    """
    width = max(map(len, COMMANDS))
    lines = [f"python -m training.{name:<{width}}  {words}" for name, words in COMMANDS.items()]
    installed = f"Installed, they are also jconv {', jconv '.join(COMMANDS)}. Each has --help."
    return "\n".join([*lines, "", installed])


def refusal(arguments: Sequence[str], package: str = "training") -> str | None:
    """What to say where Python was started with `-m` and a module of the package that is no command; else None.

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
    """End a process that runs a module which is no command, and would do nothing: one line, exit code 2.

    While Python looks for the module of `-m`, which imports its package, that is the name of the program.
    """
    if sys.argv[:1] == ["-m"] and (words := refusal(sys.orig_argv)):
        print(words, file=sys.stderr)
        raise SystemExit(MISTAKE)
