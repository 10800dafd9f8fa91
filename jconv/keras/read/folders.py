"""The folders that a loaded model's arrays had in its file.

With them, a `.weights.h5` written for the model fits the Keras model that the file came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...model.graph import Model
from .graph import Built
from .loaded_model import LoadedModel
from .parts import Part, folder_name
from .weights import wanted


def folders_in(model: Model, paths: Iterable[str]) -> dict[str, str]:
    """By key, the folders that the model's arrays had in its file, if they occur in `paths`."""
    present = {path[: match.start()] for path in paths for match in re.finditer("/", path)}
    return {key: folder for key, folder in getattr(model, "folders", ()) if folder in present}


def put_in_folders(root: Part, folders: Mapping[str, str]) -> bool:
    """Set the folders of the layers with arrays, if `folders` has the keys of all; returns whether it has."""
    stored = [part for part in root.leaves() if wanted(part)]
    if not set(folders) >= {part.key for part in stored}:
        return False
    for part in stored:
        part.folder = folders[part.key]
    return True


def with_folders(built: Built) -> LoadedModel:
    """The model, with the folders of its arrays."""
    leaves = built.root.leaves()
    is_complete = all(leaf.used or not wanted(leaf) for leaf in leaves)
    return replace(built.model, folders=tuple((leaf.key, leaf.folder) for leaf in leaves) if is_complete else ())


def restore_folders(root: Part, model: Model) -> dict[str, str] | None:
    """Set the folders of written layers to those in the model's file; returns the name of the layer of each folder.

    Returns None, and changes nothing, if the model has other layers than its file, or does not know the folders.
    """
    folders = dict(getattr(model, "folders", ()))
    for part in root.leaves():
        own = _without_number(folders.get(part.key, "").rpartition("/")[2])
        if wanted(part) and (not own or own != _without_number(folder_name(part.class_name))):
            return None
    names: dict[str, str] = {}
    for part in root.leaves():
        part.folder = folder = folders.get(part.key, "")
        key = part.key
        while folder:
            key, _, names[folder] = key.rpartition("/")
            folder = folder.rpartition("/layers/")[0]
    return names


def _without_number(folder: str) -> str:
    return re.sub(r"_\d+$", "", folder)
