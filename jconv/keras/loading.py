"""`load`: the model and the arrays of a Keras file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from ..layers.base import Activation
from ..layers.nesting import model_with_algorithm
from ..model.graph import Model, Tree
from ..planner.choose import AUTO, check_algorithm
from .files.container import open_contents
from .files.errors import KerasFileError, error_context
from .read.file import MAX_BYTES, CustomLayers, read_arrays, read_graph
from .read.loaded_model import with_folders


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
    """Load a model that Keras saved.

    `model.apply(params, state, x)` computes what Keras's model computes. Nodes have the names of Keras's layers, and
    `outer/inner` in nested models; inputs have the names of the InputLayers. Arrays have Keras's names and layout.
    Arrays of layers with `trainable` false are in `state`. Nothing in the file is imported or executed.

    Args:
        path: A `.keras` file, zipped or unzipped; a complete model in `.h5`; a model in `.json`, with its arrays in
            `weights`; or a folder with one `.json` and one file of arrays.
        weights: A file with the arrays, such as a `.weights.h5` of the same model.
        custom_layers: Replacements for layers that jconv does not have, by the layer's name or class: a jconv layer, or
            a jconv class if the file has the options of Keras's class, `{"ConvDNA": jconv.layers.Conv1D}`.
        custom_activations: Replacements for activations, by name, `"<lambda>"` for a lambda: the name of a Keras
            activation, an activation layer, or a function, which `apply` calls with JAX arrays and `reference` with
            NumPy arrays.
        input_shape: The shape of one example, for a Sequential model that was saved before it was built.
        max_bytes: The limit on the total size of the arrays, in bytes.
        algorithm: The algorithm of the model's convolutions, as in `jconv.conv1d`.

    Returns:
        `(model, params, state)`.

    Raises:
        KerasFileError: A `ValueError`, for a file that is damaged, or has something that jconv does not support.
        OSError: If the file cannot be opened.
        ValueError: For an unknown `algorithm`.
    """
    check_algorithm(algorithm)
    with open_contents(path, max_bytes) as contents:
        built = read_graph(contents, os.fspath(path), custom_layers or {}, custom_activations, input_shape)
        if weights is None and contents.arrays is None:
            raise KerasFileError(f"{os.fspath(path)} has a model and no arrays; give their file as weights=")
        with nullcontext(contents) if weights is None else open_contents(weights, max_bytes) as source:
            params, state = read_arrays(built.root, source)
    # Layers may be nested deeper than Python's stack.
    with error_context("config"):
        return model_with_algorithm(with_folders(built), algorithm), params, state
