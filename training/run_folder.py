"""The folder of a run: what is in it, and how it is written without ever leaving half a file.

Each file is written under a temporary name and then renamed, so a reader sees the old content or the new.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from .errors import UserError
from .loop import Row

CONFIG = "config.json"
GRADIENTS = "gradients.json"
METRICS = "metrics.csv"
PARAMS = "params.npz"
MODEL = "model.keras"
PICTURES = ("learning_curves.png", "confusion_matrix.png", "class_activation_map.png", "predictions.png")
FILES = (CONFIG, GRADIENTS, METRICS, PARAMS, MODEL, *PICTURES)

Tree = dict[str, dict[str, Any]]


def check(folder: Path, overwrite: bool) -> None:
    """Raise `UserError` unless a run may be written to `folder`.

    It may if the folder is missing or empty, or if `overwrite` is given and it holds an earlier run.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --out must name a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} is not empty and not a run folder, it has no {CONFIG}; choose another --out")
    if not overwrite:
        raise UserError(f"{folder} holds an earlier run; choose another --out, or --overwrite to replace it")


def begin(folder: Path, config: dict[str, Any]) -> None:
    """Make the folder, remove an earlier run's files from it and nothing else, and write `config.json`.

    Raises `UserError` where that is not allowed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        write_json(folder, CONFIG, config)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to: {error.strerror or error}") from None


def write(folder: Path, name: str, content: bytes) -> None:
    """Write a file whole, or leave what was there."""
    temporary = folder / f".{name}.part"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, folder / name)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write a JSON file. Numbers that are not finite become text, since JSON has none."""
    write(folder, name, (json.dumps(_plain(content), indent=2, allow_nan=False) + "\n").encode())


def write_metrics(folder: Path, rows: Sequence[Row], score_name: str) -> None:
    """Write `metrics.csv`: a head and a line an epoch, empty where the test set was not evaluated."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.replace("score", score_name) for field in Row._fields])
    table.writerows(["" if value is None else repr(value) for value in row] for row in rows)
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
    with np.load(folder / PARAMS, allow_pickle=False) as file:
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
