"""What `jconv.tune` measured on this machine: one small JSON file in the user's cache folder.

A missing, broken or foreign file is an empty one: entries name the machine and the versions that they were measured
with, and others are neither used nor lost. The folder is `$JCONV_CACHE_DIR`, else `jconv` in `$XDG_CACHE_HOME` or
`~/.cache`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax

from .algorithms import ALGORITHMS
from .cores import cores
from .costs import Sizes
from .processor import processor
from .version import __version__

FORMAT = "jconv tuned algorithms, 1"


def cache_file() -> Path:
    """Where measurements are kept."""
    if folder := os.environ.get("JCONV_CACHE_DIR"):
        return Path(folder) / "tuned.json"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jconv" / "tuned.json"


def key(face: str, sizes: Sizes, dtype: Any, precision: Any, platform: str) -> str:
    """One line that says what was measured and where."""
    machine = f"{processor()} x{cores()}" if platform == "cpu" else jax.devices(platform)[0].device_kind
    shape = f"batch={sizes.batch} in={sizes.in_channels} out={sizes.out_channels}"
    versions = f"jax {jax.__version__} | jconv {__version__}"
    return f"{machine} | {versions} | {face} {dtype} precision={precision} {shape} {sizes.geometry}"


def lookup(face: str, sizes: Sizes, dtype: Any, precision: Any, platform: str) -> str | None:
    """The algorithm that was fastest here for one face, or None."""
    known = _entries(cache_file())
    try:
        return known.get(key(face, sizes, dtype, precision, platform)) if known else None
    except RuntimeError:  # a program for a platform that is not here, as in jax.export: nothing was measured either
        return None


def remember(fastest: Mapping[str, str]) -> Path:
    """Add entries to the file, written to a temporary name and renamed; return its path.

    Raises `OSError` where the folder cannot be written.
    """
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    _entries.cache_clear()
    text = json.dumps({"format": FORMAT, "fastest": _entries(path) | dict(fastest)}, indent=1, sort_keys=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="tuned-", delete=False, encoding="utf-8") as file:
        file.write(text + "\n")
    try:
        os.replace(file.name, path)
    except OSError:
        os.unlink(file.name)
        raise
    _entries.cache_clear()
    return path


@lru_cache(maxsize=1)
def _entries(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("fastest"), dict):
        return {}
    return {name: best for name, best in found["fastest"].items() if isinstance(best, str) and best in ALGORITHMS}
