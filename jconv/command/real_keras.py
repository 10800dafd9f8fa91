"""What real Keras makes of a model, where it is asked for: in a process of its own, with limits, on a copy.

The child never sees the file. Keras 3 gets what jconv writes of the model that it read, which has no names but Keras's
own. Keras 2, also as tf-keras, gets for a file of Keras 2 its config, which jconv has read to the last option, and the
arrays that jconv read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..keras import KerasFileError, save
from ..keras.files.container import open_contents
from ..keras.read.file import MAX_BYTES
from .opened import Opened

Array = np.ndarray[Any, Any]

# Seconds, and bytes that the child may allocate.
SECONDS, MEMORY = 300, 8 * 2**30
MODULES = ("keras", "tf_keras")

# Run by the child: the model's outputs in order, and those of every layer that has one call and one output, by name.
SCRIPT = """
import sys
judge, path, given, found, memory = sys.argv[1:]
try:
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import importlib
import numpy as np
keras = importlib.import_module(judge)
model = keras.models.load_model(path, compile=False, safe_mode=True)
with np.load(given, allow_pickle=False) as arrays:
    x = [arrays[f"input/{i}"] for i in range(len(arrays.files))]
taps = {}
for layer in model.layers:
    if len(layer._inbound_nodes) == 1 and not isinstance(layer, keras.layers.InputLayer):
        output = layer.output
        if not isinstance(output, (list, tuple, dict)):
            taps[layer.name] = output
names = [f"output/{i}" for i in range(len(model.outputs))] + [f"layer/{name}" for name in taps]
probe = keras.Model(model.inputs, [*model.outputs, *taps.values()])
values = probe.predict_on_batch(x)
values = values if isinstance(values, (list, tuple)) else [values]
np.savez(found, **{name: np.asarray(value).astype("float64") for name, value in zip(names, values, strict=True)})
"""


class KerasFailed(Exception):
    """Keras gave no numbers; the message says why in one line."""


def installed() -> dict[int, str]:
    """The module of each major version of Keras that is installed: Keras 3, and Keras 2, which is also tf-keras."""
    found = {int(version(name).partition(".")[0]): name for name in reversed(MODULES) if find_spec(name) is not None}
    return {min(major, 3): name for major, name in found.items()}


def outputs(
    path: Path, found: Opened, x: list[Array], max_bytes: int | None
) -> tuple[str, list[Array], dict[str, Array]]:
    """`(judge, outputs, layers)` for `x`, one array an input: which Keras it was, and what it gives, in float64.

    Files of Keras 2 go to Keras 2 where it is installed. Raises `KerasFailed` where no Keras has such a model, where it
    refuses it, and where it reaches a limit.
    """
    modules = installed()
    with tempfile.TemporaryDirectory(prefix="jconv-") as folder:
        copy, given, out = (Path(folder, name) for name in ("copy.h5", "given.npz", "found.npz"))
        major = 2 if 2 in modules and _copied(path, copy, max_bytes) else 3
        if major not in modules:
            raise KerasFailed("Keras 2 alone is installed, and reads no files of Keras 3")
        if major == 3:
            copy = Path(folder, "copy.keras")
            try:
                save(copy, found.model, found.params, found.state)
            except (KerasFileError, ImportError) as error:
                raise KerasFailed(f"jconv cannot write the model for Keras: {error}") from None
        arrays: Any = {f"input/{i}": array for i, array in enumerate(x)}
        np.savez(given, **arrays)
        # On the CPU, where numbers are exact; -P, so that no module of the current folder is taken for Keras.
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        environment.pop("JAX_ENABLE_X64", None)
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-c", SCRIPT, modules[major], str(copy), str(given), str(out), str(MEMORY)],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise KerasFailed(f"it took more than {SECONDS} seconds") from None
        if child.returncode:
            lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
            raise KerasFailed(lines[-1] if lines else f"it ended with {child.returncode}")
        with np.load(out, allow_pickle=False) as values:
            read = {name: values[name] for name in values.files}
    layers = {name.removeprefix("layer/"): value for name, value in read.items() if name.startswith("layer/")}
    judge = f"{modules[major]} {version(modules[major])}"
    return judge, [read[f"output/{i}"] for i in range(len(read) - len(layers))], layers


def _copied(path: Path, copy: Path, max_bytes: int | None) -> bool:
    """Write the config and the arrays of a whole-model HDF5 file of Keras 2, and nothing else of it; False for others.

    Raises `KerasFailed` for a config that names what Keras would have to import from elsewhere.
    """
    with open_contents(path, MAX_BYTES if max_bytes is None else max_bytes) as contents:
        source, config = contents.by_layer, contents.config
        if source is None or config is None or not contents.is_keras_2:
            return False
        if foreign := _foreign(config):
            raise KerasFailed(f"the file names {foreign}, which is not Keras's own")
        import h5py

        with h5py.File(copy, "w") as target:
            target.attrs["model_config"] = json.dumps(config).encode()
            group = target.create_group(contents.group)
            for place in (target, group):
                # Without them Keras takes the arrays for those of Keras 1.
                place.attrs["keras_version"], place.attrs["backend"] = contents.version.encode(), b"tensorflow"
            names = source.texts("layer_names", contents.group)
            group.attrs["layer_names"] = np.array([name.encode() for name in names], "S")
            for name in names:
                below = f"{contents.group}/{name}"
                paths = source.texts("weight_names", below)
                own = group.require_group(name)
                own.attrs["weight_names"] = np.array([path.encode() for path in paths], "S")
                for weight in paths:
                    own[weight] = source.read(f"{below}/{weight}")
    return True


def _foreign(config: Any) -> str | None:
    """What a config names that Keras would have to import from outside itself; older ones do so unasked."""
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            module, class_name = value.get("module"), value.get("class_name")
            if isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
                return f"the module {module[:80]!a}"
            if class_name in ("Lambda", "__lambda__", "function_type"):
                return "a lambda"
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None
