"""`LoadedModel`: a model that remembers how it was in its file, so that it can be written the same way.

It knows the folders of its arrays: a `.weights.h5` written for the model fits the Keras model that the file came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...model.graph import Model
from .calls import DTYPES, read_refs, refs_in
from .parts import ModelPart, folder_name
from .weights import array_shapes, folders_of


@dataclass(frozen=True)
class InnerCall:
    """A call of a nested model, whose nodes are part of the flat graph. `class_name` is the Keras class.

    The names of its nodes begin with `name` and a slash, the keys of their arrays with `key` and a slash. `inputs` and
    `outputs` are values of the outer graph, `input_layers` the names and types of the inputs in the nested model.
    """

    name: str
    key: str
    class_name: str
    input_layers: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class LoadedModel(Model):
    """A model with the properties of its file that a graph does not have.

    `inner` are the calls of nested models. `folders` has the folder in the file of each key of params and state; it is
    empty if the file has more arrays than the model. `class_name` is the Keras class of a nested model. `input_types`
    has the types of the inputs, "" where the file has none.
    """

    inner: tuple[InnerCall, ...] = field(default=(), repr=False)
    folders: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    class_name: str = field(default="Functional", repr=False)
    input_types: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass
class BuiltModel:
    """A complete graph: the model, the root of its parts, and the positions of the outputs that have a mask."""

    model: LoadedModel
    root: ModelPart
    masked: tuple[int, ...] = ()


def input_layers(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The name and the type of each input in the `config` of a model that has been read."""
    own = [entry["config"] for entry in config["layers"] if entry["class_name"] == "InputLayer"]
    types = {c.get("name"): input_type(c) for c in own}
    if "input_layers" not in config:
        return tuple(types.items())[:1]
    refs = refs_in(read_refs(config["input_layers"], "input_layers"))
    return tuple((ref.layer, types.get(ref.layer, "")) for ref in refs)


def input_type(config: Mapping[str, Any]) -> str:
    """The type in the `config` of an InputLayer; "" if it has none."""
    dtype = config.get("dtype")
    return dtype if dtype in DTYPES else ""


def folders_in(model: Model, paths: Iterable[str]) -> dict[str, str]:
    """By key, the folders that the model's arrays had in its file, if they occur in `paths`."""
    present = folders_of(paths)
    return {key: folder for key, folder in getattr(model, "folders", ()) if folder in present}


def put_in_folders(root: ModelPart, folders: Mapping[str, str]) -> bool:
    """Set the folders of the layers with arrays, if `folders` has the keys of all; returns whether it has."""
    stored = [part for part in root.leaves() if array_shapes(part)]
    if not set(folders) >= {part.key for part in stored}:
        return False
    for part in stored:
        part.folder = folders[part.key]
    return True


def with_folders(built: BuiltModel) -> LoadedModel:
    """The model, with the folders of its arrays."""
    leaves = built.root.leaves()
    is_complete = all(leaf.used or not array_shapes(leaf) for leaf in leaves)
    return replace(built.model, folders=tuple((leaf.key, leaf.folder) for leaf in leaves) if is_complete else ())


def restore_folders(root: ModelPart, model: Model) -> dict[str, str] | None:
    """Set the folders of written layers to those in the model's file; returns the name of the layer of each folder.

    Returns None, and changes nothing, if the model has other layers than its file, or does not know the folders.
    """
    folders = dict(getattr(model, "folders", ()))
    for part in root.leaves():
        own = _without_number(folders.get(part.key, "").rpartition("/")[2])
        if array_shapes(part) and (not own or own != _without_number(folder_name(part.class_name))):
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
