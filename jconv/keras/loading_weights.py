"""`load_weights`: the arrays of a Keras file for a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..model.graph import Model, Tree
from .files.container import Contents, open_contents
from .files.errors import KerasFileError
from .files.hdf5 import Hdf5Arrays
from .read.file import MAX_BYTES, read_arrays, update_config
from .read.graph import build
from .read.loaded_model import BuiltModel, folders_in, put_in_folders
from .read.parts import ModelPart
from .read.weights import add_arrays, array_shapes
from .write.config import write_model


def load_weights(
    path: str | os.PathLike[str], model: Model, *, input_shape: Any = None, max_bytes: int = MAX_BYTES
) -> tuple[Tree, Tree]:
    """Load the arrays for a model from a file of a Keras model with the same layers.

    Layers are matched by name if the file has the model's names, otherwise in Keras's order.

    Args:
        path: A `.weights.h5`, or a file of a complete model.
        model: The model.
        input_shape: The shape of one example, as for `save`. It also applies to a Sequential model in the file that was
            saved before it was built.
        max_bytes: The limit on the total size of the arrays, in bytes.

    Returns:
        `(params, state)`.

    Raises:
        KerasFileError: For a layer that is not in the file, or has other arrays in the file.
    """
    shapes = model.named_shapes(input_shape)
    root = write_model(model, shapes, {}).root
    with open_contents(path, max_bytes) as contents:
        if contents.by_layer is None:
            folders = contents.arrays.folders() if isinstance(contents.arrays, Hdf5Arrays) else {}
            if not put_in_folders(root, folders) and contents.arrays is not None:
                put_in_folders(root, folders_in(model, contents.arrays.paths()))
        elif contents.config is not None:
            return _read_by_name(root, contents, shapes) or read_arrays(root, contents)
        return read_arrays(root, contents)


def _read_by_name(root: ModelPart, contents: Contents, shapes: Mapping[str, Any]) -> tuple[Tree, Tree] | None:
    """The arrays of the file for the layers of `root`, matched by name; None if the arrays of a layer differ."""
    built = _build_with_any(contents, (None, *shapes.values()) if len(shapes) == 1 else (None,))
    if built is None:
        return None
    trees = read_arrays(built.root, contents)
    params: Tree = {}
    state: Tree = {}
    for part in root.leaves():
        shapes = array_shapes(part)
        found = {name: array for tree in trees for name, array in tree.get(part.key, {}).items()}
        if set(found) != set(shapes):
            return None
        add_arrays(part, found, shapes, params, state)
    return params, state


def _build_with_any(contents: Contents, input_shapes: Sequence[Sequence[int | None] | None]) -> BuiltModel | None:
    """The model in the file with the first of `input_shapes` that it accepts.

    None if jconv cannot read the model, for example because of a custom layer; its arrays may fit nevertheless.
    """
    with suppress(KerasFileError):
        keras_2 = update_config(contents, "the file", {})
        for shape in input_shapes:
            with suppress(KerasFileError):
                return build(contents.config or {}, {}, keras_2=keras_2, input_shape=shape)
    return None
