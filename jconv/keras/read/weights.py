"""The arrays of a file, assigned to the layers of its model, in both of Keras's layouts.

Keras 3 stores the arrays of each object in a folder, numbered. Keras 2 lists the arrays of each layer of the outermost
model, trainable ones first, in the order of the layers that have arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...model.graph import Tree
from ..files.container import Arrays
from ..files.errors import KerasFileError, error_context
from ..files.hdf5 import Hdf5Arrays
from ..kinds.config import shortened
from ..kinds.table import array_paths
from .parts import ModelPart
from .rewrite import PRUNING_ARRAYS
from .variable_order import ordered_variables

# The state of random number generators, which jconv does not use.
IGNORED = "/seed_generator"
# The name of the folder of all layers in Keras 2.12 and 2.13.
OLD_LAYERS = "_layer_checkpoint_dependencies"
# The arrays and the gates of `CuDNNLSTM` and `CuDNNGRU` of Keras 2, which files have in the layout of NVIDIA's cuDNN.
CUDNN_ARRAYS = ("kernel", "recurrent_kernel", "bias")
LSTM_GATES, GRU_GATES = 4, 3


def read_by_folder(root: ModelPart, arrays: Arrays) -> tuple[Tree, Tree]:
    """`(params, state)` from the folders of a Keras 3 file.

    Raises `KerasFileError` for an array that is missing, has no layer, or is of another shape than its layer needs.
    """
    stored = set(arrays.paths())
    renamed = {_keras_3_path(path): path for path in stored}
    used: set[str] = set()
    params: Tree = {}
    state: Tree = {}
    _share_folders(root.leaves(), {*stored, *renamed})
    for part in root.leaves():
        shapes = array_shapes(part)
        if not shapes:
            continue
        with error_context(part.place):
            paths, copies = array_paths(part.layer, part.kind, list(shapes))
        found = {}
        for name, path in paths.items():
            full = f"{part.folder}/{path}"
            used.add(full)
            found[name] = arrays.read(renamed.get(full, full))
        add_arrays(part, found, shapes, params, state)
        used.update(f"{part.folder}/{path}" for path in copies)
    called = {part.folder for part in root.leaves() if part.kind is not None}
    for path in sorted(set(renamed) - used):
        if not called.isdisjoint(folders_of([path])) and IGNORED not in path:
            raise KerasFileError(f"the file has an array at {path!a} that the model in it has no place for")
    return params, state


def _share_folders(leaves: list[ModelPart], paths: set[str]) -> None:
    """Set the folder of each layer that several models share, since Keras stores its arrays in one of them only."""
    present = folders_of(paths)
    folders: dict[tuple[str, str], str] = {}
    for leaf in leaves:
        if leaf.folder in present:
            folders.setdefault((leaf.class_name, leaf.name), leaf.folder)
    for leaf in leaves:
        if leaf.folder not in present and leaf.kind is not None:
            leaf.folder = folders.get((leaf.class_name, leaf.name), leaf.folder)


def folders_of(paths: Iterable[str]) -> set[str]:
    """All folders in which the `paths` are, at any depth."""
    return {path[: match.start()] for path in paths for match in re.finditer("/", path)}


def read_by_layer(root: ModelPart, file: Hdf5Arrays, group: str) -> tuple[Tree, Tree]:
    """`(params, state)` from a Keras 2 file with its layers in `group`.

    Raises `KerasFileError` if layers, arrays or shapes are not those of the model.
    """
    above = f"{group}/" if group else ""
    layers = dict.fromkeys(file.texts("layer_names", group))
    lists = {name: _own_names(file.texts("weight_names", f"{above}{name}")) for name in layers}
    stored = [(name, names) for name, names in lists.items() if names]
    parts = [part for part in root.parts if any(map(array_shapes, part.leaves()))]
    if len(stored) != len(parts):
        raise KerasFileError(f"the file has arrays for {len(stored)} layers; its model has {len(parts)} with arrays")
    params: Tree = {}
    state: Tree = {}
    for part, (name, names) in zip(parts, stored, strict=True):
        with error_context(part.place):
            variables = ordered_variables(part, names)
        if len(variables) != len(names):
            raise KerasFileError(f"{part.place}: the file has {len(names)} arrays, and the layer {len(variables)}")
        found: dict[str, dict[str, Any]] = {}
        for (leaf, own), path in zip(variables, names, strict=True):
            found.setdefault(leaf.key, {})[own] = file.read(f"{above}{name}/{path}")
        for leaf in part.leaves():
            if leaf.key in found:
                add_arrays(leaf, found[leaf.key], array_shapes(leaf), params, state)
    return params, state


def _own_names(names: Iterable[str]) -> list[str]:
    """The names of a layer's arrays, without those of a wrapper that prunes it."""
    return [path for path in names if path.partition(":")[0].rpartition("/")[2] not in PRUNING_ARRAYS]


def array_shapes(part: ModelPart) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's arrays, trainable ones first."""
    if part.layer is None:
        return {}
    shape = part.input_shape
    with error_context(part.place):
        return part.layer.param_shapes(shape) | part.layer.state_shapes(shape)


def _keras_3_path(path: str) -> str:
    """The path in Keras 3 of an array at `path`, which Keras 2 may have written in an archive."""
    new = path.replace(OLD_LAYERS, "layers")
    return re.sub(r"(/multi_head_attention(?:_\d+)?/)_(query|key|value|output)_dense/", r"\1\2_dense/", new)


def add_arrays(part: ModelPart, found: Mapping[str, Any], shapes: Mapping[str, Any], params: Tree, state: Tree) -> None:
    """Put a layer's arrays, which must have the `shapes`, into params and state."""
    assert part.layer is not None
    found = undo_cudnn_layout(found, shapes)
    trainable = part.layer.param_shapes(part.input_shape)
    for name, array in found.items():
        if tuple(array.shape) != tuple(shapes[name]):
            raise KerasFileError(
                f"layer {part.name!a} at {part.place}: {name} must have the shape {tuple(shapes[name])}, the file "
                f"has {shortened(array.shape)}"
            )
        converted = _to_jax(array, part)
        if part.used:
            tree = params if name in trainable else state
            tree.setdefault(part.key, {})[name] = converted


def _to_jax(array: np.ndarray[Any, Any], part: ModelPart) -> jax.Array:
    if array.dtype == np.float64 and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise KerasFileError(
            f"layer {part.name!a} at {part.place} has float64 arrays, which JAX would round to float32: call "
            "jax.config.update('jax_enable_x64', True) first"
        )
    return jnp.asarray(array)


def undo_cudnn_layout(arrays: Mapping[str, Any], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's arrays, converted from cuDNN's layout to Keras's; `shapes` are the shapes that the layer needs.

    cuDNN multiplies by a matrix (units, features) for each gate. Keras stores its values in this order, under the shape
    (features, units). There are two biases, for the sequence and for the state, one after the other. As in Keras, a
    bias of this length identifies the layout.

    >>> arrays = {"kernel": np.arange(18).reshape(2, 9), "recurrent_kernel": np.zeros((3, 9)), "bias": np.zeros(18)}
    >>> found = undo_cudnn_layout(arrays, {"bias": (2, 9)})
    >>> arrays["kernel"][:, :3].tolist(), found["kernel"][:, :3].tolist()
    ([[0, 1, 2], [9, 10, 11]], [[0, 2, 10], [1, 9, 11]])
    """
    changed = dict(arrays)
    for prefix in [name.removesuffix("recurrent_kernel") for name in arrays if name.endswith("recurrent_kernel")]:
        own = {part: arrays[f"{prefix}{part}"] for part in CUDNN_ARRAYS if f"{prefix}{part}" in arrays}
        if len(own) == len(CUDNN_ARRAYS) and own["bias"].shape != tuple(shapes[f"{prefix}bias"]) and _is_cudnn(**own):
            changed |= {f"{prefix}{part}": array for part, array in _to_keras(**own).items()}
    return changed


def _is_cudnn(kernel: Any, recurrent_kernel: Any, bias: Any) -> bool:
    if kernel.ndim != 2 or recurrent_kernel.ndim != 2:
        return False
    units, width = recurrent_kernel.shape
    is_gated = units > 0 and width in (LSTM_GATES * units, GRU_GATES * units)
    return is_gated and kernel.shape[1] == width and bias.shape == (2 * width,)


def _to_keras(kernel: Any, recurrent_kernel: Any, bias: Any) -> dict[str, Any]:
    units, width = recurrent_kernel.shape
    gates = [slice(start, start + units) for start in range(0, width, units)]
    biases = bias.reshape(2, width)
    return {
        "kernel": np.concatenate([kernel[:, gate].reshape(units, -1).T for gate in gates], axis=1),
        "recurrent_kernel": np.concatenate([recurrent_kernel[:, gate].T for gate in gates], axis=1),
        # An LSTM adds both biases; a GRU with `reset_after` uses them separately.
        "bias": biases.sum(axis=0) if len(gates) == LSTM_GATES else biases,
    }
