"""Files that survive a crash: written under another name, on the disk, and then renamed.

A reader sees the old content or the new, after a power cut too. What a run needs to resume is written by these
functions.
"""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a complete file, or leave the one that was there."""
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
    """Wait until all that others have written in a folder, and the folder's own name, are on the disk."""
    for inside, _, names in os.walk(folder):
        for name in names:
            _sync(Path(inside, name))
        _sync(Path(inside))
    _sync(folder.parent)


def _sync(path: Path) -> None:
    # Windows opens no folder.
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
