"""`save`: a model and its arrays as a file that Keras loads."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic_files import write_file
from ..model.graph import Model
from .files.container import CONFIG, METADATA, WEIGHTS
from .files.errors import KerasFileError
from .kinds.table import array_paths
from .read.loaded_model import restore_folders
from .read.parts import ModelPart
from .read.weights import array_shapes
from .write.config import write_model

if TYPE_CHECKING:
    from .training.state import Training

# The version of Keras whose config is written.
KERAS_VERSION = "3.15.1"
# The first date of the zip format; with the current date, equal models would not make equal files.
DATE = (1980, 1, 1, 0, 0, 0)


def save(
    path: str | os.PathLike[str],
    model: Model,
    params: Mapping[str, Any],
    state: Mapping[str, Any],
    *,
    input_shape: Any = None,
    training: Training | None = None,
) -> None:
    """Write a file that Keras 3 loads: a `.keras` file, or only the arrays if the path ends in `.weights.h5`.

    Equal models give equal files. The file is written under a temporary name and renamed, so it is never incomplete.
    If the model is from `load`, its nested models are written as nested models, and a `.weights.h5` fits the Keras
    model that `load` read.

    With `training`, a `.keras` file contains a compiled model, and Keras continues its training as if it had never
    stopped::

        training = dataclasses.replace(training, state=slots)
        jconv.keras.save("model.keras", model, params, state, training=training)

    The file has the optimizer with its state, the losses, and the layers' regularizers and constraints. Metrics, and
    losses that jconv does not support, are not written.

    Args:
        path: The file, which ends in `.keras` or `.weights.h5`.
        model: The model.
        params: Its params.
        state: Its state.
        input_shape: The shape of one example, without the batch axis, or a dict of shapes by input name. Not necessary
            for a model with `input_shapes`, such as one from `load`.
        training: The result of `load_training`, with the current state of the optimizer.

    Raises:
        KerasFileError: For a layer, an option or an optimizer that Keras does not have.
        ValueError: For arrays that do not fit the model.
        ImportError: If h5py is not installed.
    """
    path = Path(path)
    is_archive = path.suffix == ".keras"
    if not is_archive and training is not None:
        raise KerasFileError(f"the name of a file with training must end in .keras, got {path.name!r}")
    if not is_archive and not path.name.endswith(".weights.h5"):
        raise KerasFileError(f"the name of the file must end in .keras or .weights.h5, got {path.name!r}")
    stored = {key: {**params.get(key, {}), **state.get(key, {})} for key in {**params, **state}}
    written = write_model(model, model.named_shapes(input_shape), stored)
    root = written.root
    # Keras stores the name of each layer with its arrays.
    names = None if is_archive else restore_folders(root, model)
    names = names or {part.folder: part.name for part in root.descendants()}
    names = {f"{folder}/vars": name for folder, name in names.items()}
    arrays = _arrays(root.leaves(), stored)
    if training is not None:
        slots, name = training.write_into(written)
        arrays |= slots
        names |= name
    data = _hdf5(arrays, names)
    write_file(path, _archive(written.config, data) if is_archive else data)


def _arrays(parts: list[ModelPart], stored: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays, by path in the file; `stored` has the params and state of each layer."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    owners: dict[str, str] = {}
    for part in parts:
        own = stored.get(part.key, {})
        wanted = array_shapes(part)
        if set(own) != set(wanted):
            raise KerasFileError(f"node {part.key!r} needs arrays {sorted(wanted)}, got {sorted(own)}")
        paths, copies = array_paths(part.layer, part.kind, list(wanted))
        for name, shape in wanted.items():
            array = np.asarray(own[name])
            if array.shape != tuple(shape):
                raise KerasFileError(f"node {part.key!r} needs {name} of shape {tuple(shape)}, got {array.shape}")
            place = f"{part.folder}/{paths[name]}"
            first = owners.setdefault(place, part.key)
            if place in arrays and arrays[place].tobytes() != array.tobytes():
                raise KerasFileError(
                    f"nodes {first!r} and {part.key!r} are one layer in Keras, stored in {part.folder!r}; their arrays "
                    f"must be equal, but {name} differs"
                )
            arrays[place] = array
        arrays |= {f"{part.folder}/{path}": np.asarray(own[name]) for path, name in copies.items()}
    return arrays


def _hdf5(arrays: Mapping[str, np.ndarray[Any, Any]], names: Mapping[str, str]) -> bytes:
    try:
        import h5py
    except ImportError:
        raise ImportError("writing Keras files needs h5py: pip install h5py") from None
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for folder, name in names.items():
            file.create_group(folder).attrs["name"] = name
        for path, array in arrays.items():
            is_bfloat16 = array.dtype.name == "bfloat16"
            # Keras reads opaque pairs of bytes unchanged; it would convert integers.
            data = file.create_dataset(path, data=array.view("V2") if is_bfloat16 else array)
            if is_bfloat16:
                data.attrs["dtype"] = "bfloat16"
    return stream.getvalue()


def _archive(config: Mapping[str, Any], weights: bytes) -> bytes:
    members = {
        METADATA: json.dumps({"keras_version": KERAS_VERSION, "date_saved": "1980-01-01@00:00:00"}).encode(),
        CONFIG: json.dumps(config).encode(),
        WEIGHTS[0]: weights,
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), data)
    return stream.getvalue()
