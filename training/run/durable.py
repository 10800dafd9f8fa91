"""Atomic file writes: to a temporary file, synced to the disk, and renamed.

After a crash or a power cut a file has its old content or its new one. Everything that a run needs to resume is written
by these functions.
"""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file completely, or leave the old one unchanged."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Sync to the disk all files in a folder, written by another library, and the folder's own name."""
    for inside, _, names in os.walk(folder):
        for name in names:
            _sync(Path(inside, name))
        _sync(Path(inside))
    _sync(folder.parent)


def _sync(path: Path) -> None:
    # Windows cannot open a folder.
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
