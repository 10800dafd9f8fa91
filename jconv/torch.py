"""PyTorch's state dicts and safetensors files as params and back. Needs no PyTorch; the files need safetensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .atomic_files import write_file
from .hints import shown

__all__ = ["from_state_dict", "load_safetensors", "save_safetensors", "to_state_dict"]

Tree = dict[str, Any]
Arrays = dict[str, np.ndarray]

CONVOLUTION = {"weight": "kernel", "bias": "bias"}
NORMALIZATION = {"weight": "gamma", "bias": "beta"}
STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
# Counts the batches of training; PyTorch also loads a state dict without it.
IGNORED = "num_batches_tracked"
WEIGHT_NORM = {"weight_g", "weight_v", "parametrizations"}


def from_state_dict(state_dict: Mapping[str, Any], *, like: tuple[Tree, Tree] | None = None) -> tuple[Tree, Tree]:
    """Converts a state dict of PyTorch to params and state.

    | layer of PyTorch | params | state |
    |---|---|---|
    | `Conv1d`, any groups | `kernel` (kernel_size, in / groups, out), `bias` | |
    | `ConvTranspose1d`, one group | `kernel` (kernel_size, out, in), `bias` | |
    | `Linear` | `kernel` (in, out), `bias` | |
    | `BatchNorm1d`, `LayerNorm`, `GroupNorm` | `gamma`, `beta` | `moving_mean`, `moving_variance` |

    Stride, padding, dilation, groups and epsilon are not in a state dict: they are arguments of the functions and
    layers of jconv. A state dict has no types of layers either: a weight with two axes is converted as the weight of a
    `Linear`, a weight with one axis as the weight of a normalization.

    Args:
        state_dict: PyTorch tensors, or arrays of NumPy or JAX, by name. `{"encoder.0.weight": w}` becomes
            `{"encoder.0": {"kernel": ...}}`, and the arrays of a single layer, `{"weight": w}`, `{"kernel": ...}`.
        like: The params and state of a model whose layers have the same names, from `model.init`; then keys and
            shapes must be the model's.

    Returns:
        `(params, state)`: copies, as arrays of NumPy of the same dtype.

    Raises:
        ValueError: For a key of another layer, a wrong shape, or, with `like`, a missing key.

    >>> weight = np.ones((8, 3, 5), np.float32)
    >>> params, state = from_state_dict({"encoder.0.weight": weight, "encoder.0.bias": np.zeros(8, np.float32)})
    >>> params["encoder.0"]["kernel"].shape, params["encoder.0"]["bias"].shape
    ((5, 3, 8), (8,))
    """
    layers: dict[str, Arrays] = {}
    for key, value in state_dict.items():
        layer, _, name = key.rpartition(".")
        array = _array(key, value)
        _check_name(key, name, array.shape)
        if name != IGNORED:
            layers.setdefault(layer, {})[name] = array
    if like is not None:
        _check_like(layers, to_state_dict(*like))
    params: Tree = {}
    state: Tree = {}
    for layer, arrays in layers.items():
        _check_shapes(layer, arrays)
        names = NORMALIZATION if "weight" in arrays and arrays["weight"].ndim == 1 else CONVOLUTION
        for name, array in arrays.items():
            tree, new_name = (state, STATISTICS[name]) if name in STATISTICS else (params, names[name])
            place = tree.setdefault(layer, {}) if layer else tree
            place[new_name] = np.array(array.T, order="C")
    return params, state


def to_state_dict(params: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> Arrays:
    """Converts params and state to arrays with PyTorch's names and layout: the inverse of `from_state_dict`.

    `module.load_state_dict({key: torch.from_numpy(array) for key, array in to_state_dict(params).items()})` loads them.
    PyTorch does not accept NumPy's bfloat16 arrays: convert them to float32, or use `save_safetensors`.

    Args:
        params: Arrays of layers by name, nested to any depth, or the arrays of one layer.
        state: The moving averages of batch normalizations.

    Returns:
        New arrays of NumPy of the same dtype, by the name in PyTorch.

    Raises:
        ValueError: For an array without a name in PyTorch, or a kernel with other than two or three axes.

    >>> arrays = to_state_dict({"encoder": {"0": {"kernel": np.ones((5, 3, 8)), "bias": np.zeros(8)}}})
    >>> {name: array.shape for name, array in arrays.items()}
    {'encoder.0.weight': (8, 3, 5), 'encoder.0.bias': (8,)}
    """
    old_names = {new: old for names in (CONVOLUTION, NORMALIZATION, STATISTICS) for old, new in names.items()}
    found: Arrays = {}
    for path, value in (*_leaves(params), *_leaves(state or {})):
        *outer, name = path
        array = np.asarray(value)
        if name not in old_names:
            raise ValueError(f"{'.'.join(path)} has no name in PyTorch; the names are {', '.join(old_names)}")
        if array.ndim not in ((2, 3) if name == "kernel" else (1,)):
            axes = "3 or 2 axes" if name == "kernel" else "1 axis"
            raise ValueError(f"{'.'.join(path)} must have {axes}, got shape {array.shape}")
        found[".".join([*outer, old_names[name]])] = np.array(array.T, order="C")
    return found


def load_safetensors(path: str | os.PathLike[str], *, like: tuple[Tree, Tree] | None = None) -> tuple[Tree, Tree]:
    """Reads a safetensors file that PyTorch wrote: `from_state_dict` of its arrays.

    Args:
        path: The file.
        like: As in `from_state_dict`.

    Returns:
        `(params, state)`, as from `from_state_dict`.

    Raises:
        ValueError: As `from_state_dict`, and for a damaged file or a type that NumPy does not have, such as float8.
        OSError: If the file cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_safetensors(f"{folder}/model.safetensors", {"conv": {"kernel": jnp.ones((5, 3, 8), jnp.bfloat16)}})
    ...     params, state = load_safetensors(f"{folder}/model.safetensors")
    >>> params["conv"]["kernel"].shape, params["conv"]["kernel"].dtype
    ((5, 3, 8), dtype(bfloat16))
    """
    safetensors = _import_safetensors()
    try:
        arrays = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, AttributeError) as error:  # The latter for types that NumPy does not have.
        raise ValueError(f"{os.fspath(path)} is not a safetensors file with dtypes of NumPy: {error}") from None
    return from_state_dict(arrays, like=like)


def save_safetensors(
    path: str | os.PathLike[str], params: Mapping[str, Any], state: Mapping[str, Any] | None = None
) -> None:
    """Writes a safetensors file that PyTorch reads: `safetensors.torch.load_model(module, path)`.

    Args:
        path: The file, which is written completely or not at all.
        params: As in `to_state_dict`.
        state: As in `to_state_dict`.

    Raises:
        ValueError: As `to_state_dict`.
        OSError: If the file cannot be written.
    """
    safetensors = _import_safetensors()
    # Libraries that read models of PyTorch need this entry.
    write_file(Path(path), safetensors.numpy.save(to_state_dict(params, state), metadata={"format": "pt"}))


def _import_safetensors() -> Any:
    """The module. Raises `ImportError` with the command that installs it."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError('this needs safetensors: pip install "safetensors>=0.8"') from None
    return safetensors


def _array(key: str, value: Any) -> np.ndarray:
    """An array or tensor, on any device, as an array of NumPy that may share its memory."""
    if hasattr(value, "detach"):
        # PyTorch does not convert bfloat16 to NumPy; float32 has all its values.
        is_bfloat16 = str(value.dtype) == "torch.bfloat16"
        array = (value.float() if is_bfloat16 else value).numpy(force=True)
        return array.astype(jnp.bfloat16) if is_bfloat16 else array
    if not hasattr(value, "shape"):
        raise ValueError(f"{key} must be an array, got {shown(value)}")
    return np.asarray(value)


def _key(layer: str, name: str) -> str:
    """The key in a state dict of an array of a layer."""
    return f"{layer}.{name}" if layer else name


def _check_name(key: str, name: str, shape: tuple[int, ...]) -> None:
    """Raises `ValueError` for an array of a layer that is not converted."""
    if not WEIGHT_NORM.isdisjoint(key.split(".")):
        raise ValueError(f"{key} of shape {shape} belongs to a weight normalization; remove it before saving")
    known = [*CONVOLUTION, *STATISTICS, IGNORED]
    if name not in known:
        raise ValueError(f"{key} of shape {shape} is not supported; the supported names are {', '.join(known)}")


def _check_shapes(layer: str, arrays: Arrays) -> None:
    """Raises `ValueError` if the shapes of a layer's arrays do not match each other."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if "bias" in shapes and "weight" not in shapes:
        raise ValueError(f"{_key(layer, 'weight')} is missing; {_key(layer, 'bias')} has shape {shapes['bias']}")
    for name, shape in shapes.items():
        if len(shape) not in ((1, 2, 3) if name == "weight" else (1,)):
            axes = "3 axes (Conv1d, ConvTranspose1d), 2 (Linear) or 1 (normalization)" if name == "weight" else "1 axis"
            raise ValueError(f"{_key(layer, name)} must have {axes}, got shape {shape}")
    first = "weight" if "weight" in shapes else next(iter(shapes))
    # The outputs are the first axis of the weight of a Conv1d, and the second of the weight of a ConvTranspose1d.
    outputs = dict.fromkeys(shapes[first][: 2 if len(shapes[first]) == 3 else 1])
    for name, shape in shapes.items():
        if name != "weight" and shape[0] not in outputs:
            right = " or ".join(f"({size},)" for size in outputs)
            other = f"{_key(layer, first)} of shape {shapes[first]}"
            raise ValueError(f"{_key(layer, name)} must have shape {right} for {other}, got shape {shape}")


def _check_like(layers: Mapping[str, Arrays], wanted: Arrays) -> None:
    """Raises `ValueError` unless the layers have arrays with the wanted names and shapes, and no others."""
    found = {_key(layer, name): array.shape for layer, arrays in layers.items() for name, array in arrays.items()}
    for key in sorted({*found, *wanted}):
        if key not in found:
            raise ValueError(f"{key} is missing; it must have shape {wanted[key].shape}")
        if key not in wanted:
            raise ValueError(f"{key} of shape {found[key]} is not in the model")
        if found[key] != wanted[key].shape:
            raise ValueError(f"{key} must have shape {wanted[key].shape}, got shape {found[key]}")


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The path and value of each array in nested dicts."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
