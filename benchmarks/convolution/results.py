"""The JSON file of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.errors import UserError

from ..shared.command import write_json

KIND = "jconv benchmarks.conv1d"


def write(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run; an interruption keeps the earlier file."""
    write_json(path, {"kind": KIND, **record})


def read(path: Path) -> dict[str, Any]:
    """The record of an earlier run. Raises `UserError` for another file."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--from-json {path}: {error.strerror or 'cannot be read'}") from None
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise UserError(f"--from-json {path}: not a file that --json wrote")
    return record
