"""A Keras file into a model and its arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..layers import Layer
from ..model import Model, Tree
from .container import Contents, opened
from .errors import KerasFileError
from .graph import Built, build
from .weights import read_by_folder, read_by_layer

MAX_BYTES = 4 * 2**30
WHOLE_MODEL = "model_weights"


def load(
    path: str | os.PathLike[str], *, custom_layers: Mapping[str, Layer] | None = None, max_bytes: int = MAX_BYTES
) -> tuple[Model, Tree, Tree]:
    """`(model, params, state)` of a file that Keras saved: `.keras`, zipped or unzipped, or a whole-model `.h5`.

    `model.apply(params, state, x)` gives what Keras's model gives. Nodes have the names of Keras's layers, those of a
    model inside a model `outer/inner`; inputs those of the InputLayers. Arrays have Keras's names and layout. Layers
    with `trainable` false have theirs in `state`.

    Nothing in the file is imported, run or followed. A layer that jconv does not have is an error that names it;
    `custom_layers` maps the name of a layer, or its class, to a jconv layer to use for it. `max_bytes` bounds what the
    arrays may declare in all, 4 GiB unless you say otherwise.

    Raises `KerasFileError`, a `ValueError`, for a file that is not what it must be, `OSError` for one that cannot be
    opened, and `ImportError` where h5py is missing.
    """
    with opened(path, max_bytes) as contents:
        built, params, state = read_model(contents, os.fspath(path), custom_layers or {})
    return built.model, params, state


def read_model(contents: Contents, what: str, custom_layers: Mapping[str, Layer]) -> tuple[Built, Tree, Tree]:
    """The graph of an open file's model, its params and its state. Raises `KerasFileError` naming `what`."""
    if contents.config is None:
        raise KerasFileError(f"{what} holds arrays and no model; load them into a model with load_weights")
    built = build(contents.config, custom_layers)
    if contents.by_layer is not None:
        return built, *read_by_layer(built.root, contents.by_layer, WHOLE_MODEL)
    return built, *read_by_folder(built.root, contents.arrays)
