"""The option parser and the JSON file of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.errors import Parser
from training.run import durable


def parser(name: str, docstring: str | None, epilog: str | None = None) -> Parser:
    """The option parser of `python -m benchmarks.NAME`.

    The first paragraph of the module's docstring is the description, the others are the epilog unless one is given.
    """
    description, _, rest = (docstring or "").partition("\n\n")
    return Parser(prog=f"python -m benchmarks.{name}", description=description, epilog=epilog or rest or None)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, completely or not at all, and create its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, (json.dumps(content, indent=1) + "\n").encode())
