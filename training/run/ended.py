"""How a run of the command ends."""

from __future__ import annotations

from typing import Any, NamedTuple


class Ended(NamedTuple):
    """The exit code of the command, and what `--json` prints."""

    code: int
    told: dict[str, Any]
