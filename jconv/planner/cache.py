"""What `jconv.tune` measured on this machine: one small JSON file in the user's cache folder.

A missing, broken or foreign file is an empty one: entries name the hardware and the versions that they were measured
with, and others are neither used nor lost. The folder is `$JCONV_CACHE_DIR`, else `jconv` in `$XDG_CACHE_HOME` or
`~/.cache`. A program of several processes has no entries, since their files may differ and their choices must not.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax

from ..algorithms import ALGORITHMS
from ..sizes import Sizes
from ..version import __version__
from .choose import AUTO, FASTEST
from .hardware import here

try:
    import fcntl
except ImportError:  # not on Windows, where two processes that tune at once may lose one's entries
    fcntl = None

FORMAT = "jconv tuned algorithms, 2"


def cache_file() -> Path:
    """Where measurements are kept."""
    if folder := os.environ.get("JCONV_CACHE_DIR"):
        return Path(folder) / "tuned.json"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jconv" / "tuned.json"


def key(operation: str, sizes: Sizes, dtype: Any, precision: Any, platform: str) -> str:
    """One line that says what was measured and where."""
    cpu = f"{here().processor} x{here().cores}"
    machine = cpu if platform == "cpu" else jax.devices(platform)[0].device_kind
    shape = f"batch={sizes.batch} in={sizes.in_channels} out={sizes.out_channels}"
    versions = f"jax {jax.__version__} | jconv {__version__}"
    return f"{machine} | {versions} | {operation} {dtype} precision={precision} {shape} {sizes.geometry}"


def lookup(policy: str, operation: str, sizes: Sizes, dtype: Any, precision: Any, platform: str) -> str | None:
    """The algorithm that was fastest here for one operation, of those that `"auto"` or `"fastest"` allows, or None."""
    known = _entries(cache_file()) if policy in (AUTO, FASTEST) and jax.process_count() == 1 else {}
    try:
        return known.get(key(operation, sizes, dtype, precision, platform), {}).get(policy) if known else None
    except RuntimeError:  # a program for a platform that is not here, as in jax.export: nothing was measured either
        return None


def remember(fastest: Mapping[str, Mapping[str, str]]) -> Path:
    """Add entries, the fastest algorithm by policy for each key, to the file; return its path.

    The file is written to a temporary name and renamed. Raises `OSError` where the folder cannot be written.
    """
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_suffix(".lock")):
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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process updates the file, so that none loses what another has added."""
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=1)
def _entries(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("fastest"), dict):
        return {}
    return {name: entry for name, entry in found["fastest"].items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {AUTO, FASTEST}:
        return False
    return (
        all(isinstance(name, str) and name in ALGORITHMS for name in entry.values()) and ALGORITHMS[entry[AUTO]].LOCAL
    )
