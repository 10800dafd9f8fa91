"""A Keras file into a model and its arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..layers import Layer
from ..layers.base import Activation
from ..layers.nesting import with_algorithm
from ..model.graph import Model, Tree
from ..planner import AUTO, check_algorithm
from .files.container import Contents, opened
from .files.errors import KerasFileError, spoken_at
from .files.hdf5 import Hdf5Arrays
from .read.folders import folders_in, put_in_folders, with_folders
from .read.graph import Built, build
from .read.keras2 import has_words_of_keras_1, put_in_new_words, put_lists_in_objects, unwrap_pruned
from .read.parts import Part
from .read.supplied import put_activations
from .read.weights import place, read_by_folder, read_by_layer, wanted
from .write.config import write_model

MAX_BYTES = 4 * 2**30
# By a layer's name or its class, a layer, or the class of a stock layer that it is under another name.
CustomLayers = Mapping[str, Layer | type[Layer]]


def load(
    path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    custom_layers: CustomLayers | None = None,
    custom_activations: Mapping[str, Activation] | None = None,
    input_shape: Sequence[int | None] | None = None,
    max_bytes: int = MAX_BYTES,
    algorithm: str = AUTO,
) -> tuple[Model, Tree, Tree]:
    """`(model, params, state)` of a file that Keras saved: `.keras`, zipped or unzipped, or a whole-model `.h5`.

    It may also be the JSON text of a model, whose arrays then come from `weights`, or a folder of one such text and one
    file of its arrays.

    `model.apply(params, state, x)` gives what Keras's model gives. Nodes have the names of Keras's layers, those of a
    model inside a model `outer/inner`; inputs those of the InputLayers. Arrays have Keras's names and layout. Layers
    with `trainable` false have theirs in `state`. With `weights`, the arrays come from that file, a `.weights.h5` of
    the same model.

    Nothing in the file is imported, run or followed. A layer that jconv does not have is an error that names it;
    `custom_layers` maps the name of a layer, or its class, to a jconv layer to use for it, or to the class of one where
    the file has one of Keras's own under another name, `{"ConvDNA": jconv.layers.Conv1D}`. `custom_activations` maps
    the name of an activation, `"<lambda>"` for a lambda, to one of Keras's names, an activation layer, or a function,
    which is called with JAX's arrays and for the reference with NumPy's.

    `input_shape` is that of one example of a Sequential model that was saved before it was built, and so has none.
    `max_bytes` bounds what the arrays may declare in all, 4 GiB unless you say otherwise. `algorithm` is that of the
    model's convolutions, as in `jconv.conv1d`.

    Raises `KerasFileError`, a `ValueError`, for a file that is not what it must be, `OSError` for one that cannot be
    opened, and `ValueError` for an unknown `algorithm`.
    """
    check_algorithm(algorithm)
    with opened(path, max_bytes) as contents:
        supplied = custom_layers or {}, custom_activations or {}
        built = read_graph(contents, os.fspath(path), *supplied, input_shape)
        if weights is None:
            if contents.arrays is None:
                raise KerasFileError(f"{os.fspath(path)} has a model and no arrays; give their file as weights=")
            trees = read_arrays(built.root, contents)
            return _computed_by(algorithm, with_folders(built)), *trees
    with opened(weights, max_bytes) as contents:
        trees = read_arrays(built.root, contents)
        return _computed_by(algorithm, with_folders(built)), *trees


def _computed_by(algorithm: str, model: Model) -> Model:
    # Layers inside each other may be deeper than Python's stack.
    with spoken_at("config"):
        nodes = (replace(node, layer=with_algorithm(node.layer, algorithm)) for node in model.nodes)
        return model if algorithm == AUTO else replace(model, nodes=tuple(nodes))


def load_weights(
    path: str | os.PathLike[str], model: Model, *, input_shape: Any = None, max_bytes: int = MAX_BYTES
) -> tuple[Tree, Tree]:
    """`(params, state)` for a model, from a `.weights.h5`, or another file, of a Keras model with the same layers.

    Layers are found by the model's names for them, and where these are not the file's, by Keras's order. A file of a
    whole model is read as that model. `input_shape` is as for `save`; a Sequential model in the file that was saved
    before it was built is read with this shape too.

    Raises `KerasFileError` for a layer that the file does not have, or has with other arrays.
    """
    shapes = model.named_shapes(input_shape)
    root = write_model(model, shapes, {}).root
    with opened(path, max_bytes) as contents:
        if contents.by_layer is None:
            folders = contents.arrays.folders() if isinstance(contents.arrays, Hdf5Arrays) else {}
            if not put_in_folders(root, folders) and contents.arrays is not None:
                put_in_folders(root, folders_in(model, contents.arrays.paths()))
        elif contents.config is not None:
            return _read_by_name(root, contents, shapes) or read_arrays(root, contents)
        return read_arrays(root, contents)


def _read_by_name(root: Part, contents: Contents, shapes: Mapping[str, Any]) -> tuple[Tree, Tree] | None:
    """The arrays of the model in the file for the parts of `root` by their names; None if a part has none there."""
    built = _built_with_any(contents, (None, *shapes.values()) if len(shapes) == 1 else (None,))
    if built is None:
        return None
    trees = read_arrays(built.root, contents)
    params: Tree = {}
    state: Tree = {}
    for part in root.leaves():
        shapes = wanted(part)
        found = {name: array for tree in trees for name, array in tree.get(part.key, {}).items()}
        if set(found) != set(shapes):
            return None
        place(part, found, shapes, params, state)
    return params, state


def _built_with_any(contents: Contents, input_shapes: Sequence[Sequence[int | None] | None]) -> Built | None:
    """The model in the file with the first of `input_shapes` that it accepts.

    None if jconv cannot read the model, for example because of a custom layer. Its arrays may fit all the same.
    """
    with suppress(KerasFileError):
        older = _update_config(contents, "the file", {})
        for shape in input_shapes:
            with suppress(KerasFileError):
                return build(contents.config or {}, {}, older=older, input_shape=shape)
    return None


def read_graph(
    contents: Contents,
    what: str,
    custom_layers: CustomLayers,
    custom_activations: Mapping[str, Activation] | None = None,
    input_shape: Sequence[int | None] | None = None,
) -> Built:
    """The graph of an open file.

    Raises `KerasFileError`, naming `what`, for a file of arrays alone, and for one of Keras 1.
    """
    older = _update_config(contents, what, custom_activations or {})
    return build(contents.config or {}, custom_layers, older=older, input_shape=input_shape)


def _update_config(contents: Contents, what: str, custom_activations: Mapping[str, Activation]) -> bool:
    """Bring the config, in place, into the form of Keras 3. Returns whether Keras 2 wrote it."""
    if contents.config is None:
        raise KerasFileError(f"{what} has arrays and no model; load_weights puts them into one")
    if contents.version.startswith(("0.", "1.")) or has_words_of_keras_1(contents.config):
        raise KerasFileError(f"{what} is a file of Keras 1; load it in Keras 2.2 and save it again")
    put_activations(contents.config, custom_activations)
    unwrap_pruned(contents.config)
    older = put_lists_in_objects(contents.config) or contents.older
    if older:
        put_in_new_words(contents.config)
    return older


def read_arrays(root: Part, contents: Contents) -> tuple[Tree, Tree]:
    """`(params, state)` of an open file, in whichever arrangement it has them."""
    if contents.by_layer is not None:
        return read_by_layer(root, contents.by_layer, contents.group)
    if contents.arrays is None:
        raise KerasFileError("the file has a model and no arrays")
    return read_by_folder(root, contents.arrays)
