"""The file's arrays to the layers that they belong to, in both arrangements.

Keras 3 puts each object's arrays in a folder, numbered. Keras 2 lists the arrays of each layer of the outermost model,
those that are trained first, in the order of the layers that have some.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...layers import ChannelsFirst, Frozen, InDtype, InMode, Layer
from ...model.graph import Tree
from ..files.container import Arrays
from ..files.errors import KerasFileError, spoken_at
from ..files.hdf5 import Hdf5Arrays
from ..kinds.config import shortened
from ..kinds.kind import names_to_paths
from .keras2 import PRUNING
from .layer_order import listed
from .nested import Nested
from .parts import Part

# What a file has below a layer and jconv has no use for: the state of random generators.
PASSED_OVER = ("seed_generator",)
# What Keras 2.12 and 2.13 called the folder of all layers.
OLD_LAYERS = "_layer_checkpoint_dependencies"


def read_by_folder(root: Part, arrays: Arrays) -> tuple[Tree, Tree]:
    """`(params, state)` from the folders of a Keras 3 file.

    Raises `KerasFileError` for an array that is missing, too many, or of another shape than its layer needs.
    """
    stored = set(arrays.paths())
    renamed = {_new_path(path): path for path in stored}
    used: set[str] = set()
    params: Tree = {}
    state: Tree = {}
    _share_folders(root.leaves(), {*stored, *renamed})
    for part in root.leaves():
        shapes = wanted(part)
        if not shapes:
            continue
        found = {}
        with spoken_at(part.place):
            copies = copies_of(part.layer, part.kind)
            paths = names_to_paths(list(shapes), folders_of(part.layer, part.kind), copies)
        for name, path in paths.items():
            whole = f"{part.folder}/{path}"
            used.add(whole)
            found[name] = arrays.read(renamed.get(whole, whole))
        place(part, found, shapes, params, state)
        used.update(f"{part.folder}/{path}" for path in copies)
        used.update(f"{part.folder}/{path}" for path in part.kind.unused(bare(part.layer))) if part.kind else None
    called = {part.folder for part in root.leaves() if part.kind is not None}
    for path in sorted(set(renamed) - used):
        if _is_below(path, called) and not any(f"/{word}" in path for word in PASSED_OVER):
            raise KerasFileError(f"the file has an array at {path!a} that the model in it has no place for")
    return params, state


def _share_folders(leaves: list[Part], paths: set[str]) -> None:
    """Give a layer that Keras met again in another model, and did not store again, the folder that it has."""
    present = {path[: match.start()] for path in paths for match in re.finditer("/", path)}
    folders: dict[tuple[str, str], str] = {}
    for leaf in leaves:
        if leaf.folder in present:
            folders.setdefault((leaf.class_name, leaf.name), leaf.folder)
    for leaf in leaves:
        if leaf.folder not in present and leaf.kind is not None:
            leaf.folder = folders.get((leaf.class_name, leaf.name), leaf.folder)


def read_by_layer(root: Part, file: Hdf5Arrays, group: str) -> tuple[Tree, Tree]:
    """`(params, state)` from a Keras 2 file, whose layers stand in `group`.

    Raises `KerasFileError` where layers, arrays or shapes are not those of the model.
    """
    above = f"{group}/" if group else ""
    layers = dict.fromkeys(file.texts("layer_names", group))
    lists = {name: file.texts("weight_names", f"{above}{name}") for name in layers}
    stored = [(name, names) for name, names in lists.items() if names]
    parts = [part for part in root.parts if any(map(wanted, part.leaves()))]
    if len(stored) != len(parts):
        raise KerasFileError(f"the file has arrays for {len(stored)} layers, and its model has {len(parts)} with some")
    params: Tree = {}
    state: Tree = {}
    for part, (name, names) in zip(parts, stored, strict=True):
        names = [path for path in names if path.partition(":")[0].rpartition("/")[2] not in PRUNING]
        with spoken_at(part.place):
            variables = listed(part, names)
        if len(variables) != len(names):
            raise KerasFileError(f"{part.place}: the file has {len(names)} arrays, and the layer {len(variables)}")
        found: dict[str, dict[str, Any]] = {}
        for (leaf, own), path in zip(variables, names, strict=True):
            found.setdefault(leaf.key, {})[own] = file.read(f"{above}{name}/{path}")
        for leaf in part.leaves():
            if leaf.key in found:
                place(leaf, found[leaf.key], wanted(leaf), params, state)
    return params, state


def bare(layer: Layer | None) -> Layer | None:
    """The layer inside what every layer of Keras has in common."""
    while isinstance(layer, (ChannelsFirst, Frozen, InDtype, InMode)):
        layer = layer.layer
    return layer


def folders_of(layer: Layer | None, kind: Any) -> dict[str, str]:
    """Where a layer's prefixed arrays lie."""
    return {} if kind is None else kind.places(bare(layer))


def copies_of(layer: Layer | None, kind: Any) -> dict[str, str]:
    """Where a layer's arrays lie a second time."""
    return {} if kind is None else dict(kind.copies(bare(layer)))


def wanted(part: Part) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's arrays, those that are trained first."""
    if part.layer is None:
        return {}
    shape = part.input_shape
    with spoken_at(part.place):
        return part.layer.param_shapes(shape) | part.layer.state_shapes(shape)


def _new_path(path: str) -> str:
    """A path as Keras 3 has it, of one that Keras 2 wrote in an archive."""
    new = path.replace(OLD_LAYERS, "layers")
    return re.sub(r"(/multi_head_attention(?:_\d+)?/)_(query|key|value|output)_dense/", r"\1\2_dense/", new)


def _is_below(path: str, folders: set[str]) -> bool:
    """Whether a path leads through one of the folders."""
    return any(path[: match.start()] in folders for match in re.finditer("/", path))


def place(part: Part, found: Mapping[str, Any], shapes: Mapping[str, Any], params: Tree, state: Tree) -> None:
    """Put a layer's arrays into params and state, each of the shape that the layer needs."""
    assert part.layer is not None
    trained = part.layer.param_shapes(part.input_shape)
    own: dict[str, dict[str, jax.Array]] = {"params": {}, "state": {}}
    for name, array in found.items():
        if tuple(array.shape) != tuple(shapes[name]):
            raise KerasFileError(
                f"layer {part.name!a} at {part.place}: {name} must have the shape {tuple(shapes[name])}, the file "
                f"has {shortened(array.shape)}"
            )
        own["params" if name in trained else "state"][name] = _array(array, part)
    if not part.used:
        return
    params |= {part.key: own["params"]} if own["params"] else {}
    state |= {part.key: own["state"]} if own["state"] else {}


def _array(array: np.ndarray[Any, Any], part: Part) -> jax.Array:
    if array.dtype == np.float64 and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise KerasFileError(
            f"layer {part.name!a} at {part.place} has float64 arrays, which JAX would round to float32: call "
            "jax.config.update('jax_enable_x64', True) first"
        )
    return jnp.asarray(array)


__all__ = ["Nested", "bare", "copies_of", "folders_of", "read_by_folder", "read_by_layer"]
