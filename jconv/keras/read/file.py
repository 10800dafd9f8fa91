"""The model and the arrays of an open Keras file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...layers import Layer
from ...layers.base import Activation
from ...model.graph import Tree
from ..files.container import Contents
from ..files.errors import KerasFileError
from .graph import build
from .loaded_model import BuiltModel
from .parts import ModelPart
from .rewrite import is_keras_1, replace_activations, replace_layer_lists, unwrap_pruned, upgrade_keras_2
from .weights import read_by_folder, read_by_layer

MAX_BYTES = 4 * 2**30
# By the name or class of a layer in the file: a jconv layer, or a jconv class if the file has Keras's options for it.
CustomLayers = Mapping[str, Layer | type[Layer]]


def read_graph(
    contents: Contents,
    file: str,
    custom_layers: CustomLayers,
    custom_activations: Mapping[str, Activation] | None,
    input_shape: Sequence[int | None] | None,
) -> BuiltModel:
    """The graph of an open file; errors name it `file`.

    Raises `KerasFileError` for a file that only has arrays, and for one from Keras 1.
    """
    keras_2 = update_config(contents, file, custom_activations or {})
    return build(contents.config or {}, custom_layers, keras_2=keras_2, input_shape=input_shape)


def update_config(contents: Contents, file: str, custom_activations: Mapping[str, Activation]) -> bool:
    """Change the config of a file, in place, into the form of Keras 3. Returns whether Keras 2 wrote it."""
    if contents.config is None:
        raise KerasFileError(f"{file} has arrays and no model; load_weights puts them into one")
    if contents.version.startswith(("0.", "1.")) or is_keras_1(contents.config):
        raise KerasFileError(f"{file} is a file of Keras 1; load it in Keras 2.2 and save it again")
    replace_activations(contents.config, custom_activations)
    unwrap_pruned(contents.config)
    keras_2 = replace_layer_lists(contents.config) or contents.is_keras_2
    if keras_2:
        upgrade_keras_2(contents.config)
    return keras_2


def read_arrays(root: ModelPart, contents: Contents) -> tuple[Tree, Tree]:
    """`(params, state)` of an open file, in either of Keras's layouts."""
    if contents.by_layer is not None:
        return read_by_layer(root, contents.by_layer, contents.group)
    if contents.arrays is None:
        raise KerasFileError("the file has a model and no arrays")
    return read_by_folder(root, contents.arrays)
