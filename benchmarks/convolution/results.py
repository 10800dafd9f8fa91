"""The JSON file of a run, which is written atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from training.errors import UserError

KIND = "jconv benchmarks.conv1d"


def write(path: Path, record: dict[str, Any]) -> None:
    """Write to a temporary file in the same folder and rename it, so that an interruption keeps the earlier file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps({"kind": KIND, **record}, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
