"""Files that are written completely or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` that is deleted afterwards, from which `os.replace` moves a finished file to `path`."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file, or leave the existing one as it was. Raises `OSError`, naming `path`."""
    try:
        with temporary_folder(path) as folder:
            with (folder / "part").open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(folder / "part", path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
