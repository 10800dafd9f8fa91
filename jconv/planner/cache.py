"""The measurements of `jconv.tune` on this machine: one small JSON file in the user's cache folder.

The folder is `$JCONV_CACHE_DIR`, or else `jconv` in `$XDG_CACHE_HOME` or `~/.cache`. Each entry names the hardware and
the versions that it was measured with; entries of other hardware or versions are kept but not used. A missing, broken
or unrelated file counts as empty. Programs of several processes use no entries: their files may differ, but their
choices must not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax

from ..algorithms import ALGORITHMS
from ..atomic_files import write_file
from ..sizes import Sizes
from ..version import __version__
from .choose import AUTO, FASTEST
from .hardware import this_machine

try:
    import fcntl
except ImportError:  # Windows. There, if two processes tune at once, one may lose its entries.
    fcntl = None

FORMAT = "jconv tuned algorithms, 2"


def cache_file() -> Path:
    """Returns the path of the file."""
    if folder := os.environ.get("JCONV_CACHE_DIR"):
        return Path(folder) / "tuned.json"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jconv" / "tuned.json"


def key(operation: str, sizes: Sizes, dtype: Any, precision: Any, platform: str) -> str:
    """Returns the key of an entry: the hardware, the versions, the operation and its sizes."""
    cpu = f"{this_machine().processor} x{this_machine().cores}"
    machine = cpu if platform == "cpu" else jax.devices(platform)[0].device_kind
    shape = f"batch={sizes.batch} in={sizes.in_channels} out={sizes.out_channels}"
    versions = f"jax {jax.__version__} | jconv {__version__}"
    return f"{machine} | {versions} | {operation} {dtype} precision={precision} {shape} {sizes.geometry}"


def lookup(policy: str, operation: str, sizes: Sizes, dtype: Any, precision: Any, platform: str) -> str | None:
    """Returns the fastest measured algorithm that `policy` (`"auto"` or `"fastest"`) allows; None without an entry."""
    entries = _entries(cache_file()) if policy in (AUTO, FASTEST) and jax.process_count() == 1 else {}
    try:
        return entries.get(key(operation, sizes, dtype, precision, platform), {}).get(policy) if entries else None
    except RuntimeError:  # This machine does not have the platform, as in jax.export, and so no measurements for it.
        return None


def save(fastest: Mapping[str, Mapping[str, str]]) -> Path:
    """Adds entries to the file: for each key, the fastest algorithm by policy.

    Returns:
        The path of the file.

    Raises:
        OSError: The folder is not writable.
    """
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_suffix(".lock")):
        _entries.cache_clear()
        text = json.dumps({"format": FORMAT, "fastest": _entries(path) | dict(fastest)}, indent=1, sort_keys=True)
        write_file(path, f"{text}\n".encode())
    _entries.cache_clear()
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process updates the file, so that no entry is lost."""
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=1)
def _entries(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("fastest"), dict):
        return {}
    return {name: entry for name, entry in content["fastest"].items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {AUTO, FASTEST}:
        return False
    known = all(isinstance(name, str) and name in ALGORITHMS for name in entry.values())
    return known and ALGORITHMS[entry[AUTO]].LOCAL
