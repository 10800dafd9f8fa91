"""The run folder: its files, its lock, and reading and writing them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

from ..arrays import Tree
from ..core.learner import Row
from ..errors import UserError
from . import durable

CONFIG = "config.json"
GRADIENTS = "gradients.json"
METRICS = "metrics.csv"
RESULTS = "results.json"
PARAMS = "params.npz"
MODEL = "model.keras"
REPORT = "report.html"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
TRACKER = "mlflow.json"
FOLD = "fold-"
CURVES, CONFUSION, MAPS = "learning_curves.png", "confusion_matrix.png", "class_activation_map.png"
MISTAKEN, EMBEDDINGS, PREDICTIONS = "misclassified.png", "embeddings.png", "predictions.png"
DENOISED, SEGMENTS, CALIBRATION = "denoised.png", "segments.png", "calibration.png"
PARTS = ("training", "validation", "test")
PICTURES = (CURVES, CONFUSION, CALIBRATION, MAPS, MISTAKEN, EMBEDDINGS, PREDICTIONS, DENOISED, SEGMENTS)
FILES = (CONFIG, GRADIENTS, METRICS, RESULTS, PARAMS, MODEL, REPORT, TRACKER, *PICTURES)


def check(folder: Path, overwrite: bool) -> None:
    """Raise `UserError` unless the folder is missing or empty, or has an earlier run and `overwrite` is given."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --out must name a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} is not empty and not a run folder, it has no {CONFIG}; choose another --out")
    if not overwrite:
        advice = "choose another --out, --overwrite to replace it, or --resume to continue"
        raise UserError(f"{folder} contains an earlier run; {advice}")


def config_to_resume(folder: Path, is_resumed: bool = True, overwrite: bool = False) -> dict[str, Any] | None:
    """The content of `config.json` of a run to resume; None if there is no run yet, or if the run starts again.

    Raises `UserError` if the file is not JSON, and as `check` does for a run that starts.
    """
    with writable(folder):
        if not is_resumed or not (folder / CONFIG).is_file():
            check(folder, overwrite)
            return None
    content = read_json(folder, CONFIG)
    if content is None:
        raise UserError(f"{folder / CONFIG}: cannot be read, so the run cannot be resumed; --overwrite starts again")
    return content


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create and lock the folder for the block. Raises `UserError` if another process has locked it.

    Folders that are created here are removed at the end if they are still empty. On Windows nothing is locked.
    """
    with writable(folder):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; --out must name a folder")
        made = [own for own in (folder, *folder.parents) if not own.exists()]
        handle = _acquire_lock(folder)
    try:
        yield
    finally:
        for own in made:
            with suppress(OSError):
                own.rmdir()
        if handle is not None:
            os.close(handle)


def _acquire_lock(folder: Path) -> int | None:
    """Create and lock the folder: the handle to close, None if the system has no such locks."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(f"{folder}: another process works on this run") from None
    except OSError:
        # Some network file systems cannot lock.
        return handle
    # Another process may have removed the folder between the two calls.
    if folder.exists() and os.path.samestat(os.fstat(handle), folder.stat()):
        return handle
    os.close(handle)
    return _acquire_lock(folder)


def check_writable(folder: Path) -> None:
    """Raise `UserError` if no file can be written to the folder."""
    with writable(folder), tempfile.TemporaryFile(dir=folder):
        pass


def begin(folder: Path, config: dict[str, Any], folds: int = 0) -> None:
    """Create the folder, remove the files of an earlier run and nothing else, and write `config.json`.

    The folders of the first `folds` folds remain, empty: their runs are about to start and may hold locks. Raises
    `UserError` if the system does not allow it.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for own in folder.glob(f"{FOLD}*"):
            if own.name.removeprefix(FOLD).isdecimal() and (own / CONFIG).is_file():
                _empty(own)
                (own / CONFIG).unlink()
                # It remains if it contains other files.
                if int(own.name.removeprefix(FOLD)) > folds:
                    with suppress(OSError):
                        own.rmdir()
        _empty(folder)
        write_json(folder, CONFIG, config)


def _empty(folder: Path) -> None:
    """Remove the files of a run except `config.json`, which marks a run folder and is replaced last."""
    for name in (CHECKPOINTS, TENSORBOARD):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    for name in FILES:
        if name != CONFIG:
            (folder / name).unlink(missing_ok=True)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Within the block, an `OSError` becomes a `UserError`: a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to: {error.strerror or error}") from None


def write(folder: Path, name: str, content: bytes) -> None:
    """Write a file atomically; see `durable.write`."""
    durable.write(folder / name, content)


def write_json(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write a JSON file. Floats that are not finite become strings, since JSON has none."""
    write(folder, name, as_json(content).encode())


def as_json(content: dict[str, Any]) -> str:
    """The text of a JSON file.

    >>> print(as_json({"loss": float("nan")}), end="")
    {
      "loss": "nan"
    }
    """
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def read_json(folder: Path, name: str) -> dict[str, Any] | None:
    """The content of a JSON file; None if it does not exist or cannot be read."""
    try:
        return json.loads((folder / name).read_text())
    except (OSError, ValueError):
        return None


def write_metrics(folder: Path, rows: Sequence[Row], score_name: str) -> None:
    """Write `metrics.csv`: a heading and a line for each epoch, with empty cells where a set was not evaluated."""
    # The last two columns are for the validation set.
    fields = Row._fields[: None if any(row.validation_loss is not None for row in rows) else -2]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.replace("score", score_name) for field in fields])
    table.writerows(["" if value is None else repr(value) for value in row[: len(fields)]] for row in rows)
    write(folder, METRICS, text.getvalue().encode())


def write_params(folder: Path, params: Tree, state: Tree) -> None:
    """Write `params.npz`, whose keys are `params/node/name` and `state/node/name`, a slash in a name as `%2F`."""
    flat: Any = {
        "/".join([kind, quote(node, safe=""), quote(name, safe="")]): np.asarray(array)
        for kind, tree in (("params", params), ("state", state))
        for node, own in tree.items()
        for name, array in own.items()
    }
    content = io.BytesIO()
    np.savez(content, **flat)
    write(folder, PARAMS, content.getvalue())


def read_params(folder: Path) -> tuple[Tree, Tree]:
    """`(params, state)` of a run, as `Model.apply` takes them."""
    trees: dict[str, Tree] = {"params": {}, "state": {}}
    # `np.load` does not close a damaged file, and takes a file that is not an archive for pickled objects.
    with (folder / PARAMS).open("rb") as opened:
        if not zipfile.is_zipfile(opened):
            raise zipfile.BadZipFile("it is not a complete .npz archive")
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            for key in file.files:
                kind, node, name = (unquote(part) for part in key.split("/"))
                trees[kind].setdefault(node, {})[name] = file[key]
    return trees["params"], trees["state"]


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return str(content)
    return content
