"""Valid and malicious Keras files, made without Keras: configs, archives and HDF5 files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SHAPE = (7, 4)
KERNEL = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
BIAS = np.float32([1, 2, 3])
CONV = {"filters": 3, "kernel_size": [2]}
ARRAYS = {"layers/conv1d/vars/0": KERNEL, "layers/conv1d/vars/1": BIAS}


def tensor(layer: str, call: int = 0, output: int = 0) -> dict[str, Any]:
    """The output of a layer as an argument of a call."""
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, call, output]}}


def layer(class_name: str, name: str, config: Any = None, reads: Any = ("in0",), **entry: Any) -> dict[str, Any]:
    """A layer of a Functional model, called on the layers `reads`; if `reads` is a list of lists, once for each."""
    calls = [reads] if all(isinstance(read, str) for read in reads) else reads
    nodes = [{"args": [tensor(read) for read in call], "kwargs": {}} for call in calls]
    own = {"name": name, **({} if config is None else config)}
    return {"class_name": class_name, "name": name, "config": own, "inbound_nodes": nodes, **entry}


def conv(name: str = "conv1d", reads: Any = ("in0",), **config: Any) -> dict[str, Any]:
    """A Conv1D layer."""
    return layer("Conv1D", name, CONV | config, reads, module="keras.layers")


def operation(class_name: str, *args: Any, **config: Any) -> dict[str, Any]:
    """An operation named `"op"`."""
    node = {"args": list(args), "kwargs": {}}
    return {"class_name": class_name, "name": "op", "config": {"name": "op", **config}, "inbound_nodes": [node]}


def functional(*entries: Any, outputs: Any = None, name: str = "model", shape: Any = SHAPE) -> dict[str, Any]:
    """A Functional model with the input `"in0"`; by default, it returns the output of the last layer."""
    first = {"class_name": "InputLayer", "name": "in0", "inbound_nodes": []}
    first["config"] = {"batch_shape": [None, *shape], "name": "in0"}
    # The first call of a model is number 1, since building it counts as a call.
    last = [[entry["name"], int(entry["class_name"] == "Functional"), 0] for entry in entries[-1:]] or [["in0", 0, 0]]
    config = {"name": name, "layers": [first, *entries], "input_layers": [["in0", 0, 0]]}
    return {"class_name": "Functional", "config": config | {"output_layers": outputs or last}}


def hdf5(arrays: Mapping[str, Any] = ARRAYS, **attributes: Any) -> bytes:
    """An HDF5 file with `arrays`, by path, and the root's `attributes`."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, array in arrays.items():
            file[path] = array
        for name, value in attributes.items():
            file.attrs[name] = value
    return stream.getvalue()


def archive(config: Any, weights: bytes | None = None, packing: int = zipfile.ZIP_DEFLATED, **members: Any) -> bytes:
    """A `.keras` file with further `members`; `config` may also be JSON text."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as file:
        file.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
        file.writestr("model.weights.h5", hdf5() if weights is None else weights)
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def saved(folder: Path, data: bytes, name: str = "model.keras") -> Path:
    """Write a file; returns its path."""
    path = folder / name
    path.write_bytes(data)
    return path


@contextmanager
def new_hdf5(**options: Any) -> Iterator[tuple[h5py.File, Callable[[], bytes]]]:
    """An open HDF5 file, and a function that closes it and returns its bytes."""
    stream = io.BytesIO()
    file = h5py.File(stream, "w", **options)

    def done() -> bytes:
        file.close()
        return stream.getvalue()

    yield file, done


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    """The data with `changes`: pairs of an offset and the bytes to write there."""
    found = bytearray(data)
    for at, new in changes:
        found[at : at + len(new)] = new
    return bytes(found)
