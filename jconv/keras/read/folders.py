"""The folders that a model's arrays had in its file, in which weights alone fit the model that the file was of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...model.graph import Model
from .graph import Built
from .inner import LoadedModel
from .parts import Part, folder_name
from .weights import wanted


def folders_in(model: Model, paths: Iterable[str]) -> dict[str, str]:
    """The folders of a model's file, by their keys, that are among those of these `paths`."""
    present = {path[: match.start()] for path in paths for match in re.finditer("/", path)}
    return {key: folder for key, folder in getattr(model, "folders", ()) if folder in present}


def put_in_folders(root: Part, folders: Mapping[str, str]) -> bool:
    """Give the layers that have arrays these `folders`, by their keys, if all are there."""
    stored = [part for part in root.leaves() if wanted(part)]
    if not set(folders) >= {part.key for part in stored}:
        return False
    for part in stored:
        part.folder = folders[part.key]
    return True


def with_folders(built: Built) -> LoadedModel:
    """The model, with the folders of its arrays as they were read."""
    leaves = built.root.leaves()
    whole = all(leaf.used or not wanted(leaf) for leaf in leaves)
    return replace(built.model, folders=tuple((leaf.key, leaf.folder) for leaf in leaves) if whole else ())


def named_as_read(root: Part, model: Model) -> dict[str, str] | None:
    """Put the written layers in the folders that they had in the model's file; the layers' names by their folders.

    None, and all as it was, for a model that has other layers than its file, or knows of none.
    """
    folders = dict(getattr(model, "folders", ()))
    stored = [part for part in root.leaves() if wanted(part)]
    for part in stored:
        own = re.sub(r"_\d+$", "", folders.get(part.key, "").rpartition("/")[2])
        if not own or own != re.sub(r"_\d+$", "", folder_name(part.class_name)):
            return None
    names: dict[str, str] = {}
    for part in root.leaves():
        part.folder = folder = folders.get(part.key, "")
        key = part.key
        while folder:
            names[folder], key, folder = key.rpartition("/")[2], key.rpartition("/")[0], _above(folder)
    return names


def _above(folder: str) -> str:
    return folder.rpartition("/layers/")[0]
