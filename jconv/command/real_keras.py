"""The outputs of real Keras for a model, computed in a separate process with limits, on a copy.

The process never opens the file itself. Keras 3 loads a file that jconv writes for the model, which names only classes
of Keras. For a file of Keras 2, Keras 2 or tf-keras loads the file's config, of which jconv has read every option, and
the arrays that jconv read.
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
from ..keras.kinds.config import objects_in
from .model_file import ModelFile

Array = np.ndarray[Any, Any]

# The limits on time, in seconds, and on allocated bytes.
MAX_SECONDS, MAX_MEMORY = 300, 8 * 2**30
MODULES = ("keras", "tf_keras")

# The script of the process. It saves the outputs of the model in order, and the output of each layer that has one call
# and one output, by name.
SCRIPT = """
import sys
module, path, inputs, outputs, memory = sys.argv[1:]
try:
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import importlib
import numpy as np
keras = importlib.import_module(module)
model = keras.models.load_model(path, compile=False, safe_mode=True)
with np.load(inputs, allow_pickle=False) as arrays:
    x = [arrays[f"input/{i}"] for i in range(len(arrays.files))]
layers = {}
for layer in model.layers:
    if len(layer._inbound_nodes) == 1 and not isinstance(layer, keras.layers.InputLayer):
        output = layer.output
        if not isinstance(output, (list, tuple, dict)):
            layers[layer.name] = output
names = [f"output/{i}" for i in range(len(model.outputs))] + [f"layer/{name}" for name in layers]
extended = keras.Model(model.inputs, [*model.outputs, *layers.values()])
values = extended.predict_on_batch(x)
values = values if isinstance(values, (list, tuple)) else [values]
np.savez(outputs, **{name: np.asarray(value).astype("float64") for name, value in zip(names, values, strict=True)})
"""


class KerasError(Exception):
    """Keras computed nothing; the message is the reason, in one line."""


def installed_modules() -> dict[int, str]:
    """The installed modules by Keras's major version: `keras` is Keras 3 or 2, `tf_keras` is Keras 2."""
    majors = {int(version(name).partition(".")[0]): name for name in reversed(MODULES) if find_spec(name) is not None}
    return {min(major, 3): name for major, name in majors.items()}


def outputs(path: Path, file: ModelFile, x: list[Array], max_bytes: int) -> tuple[str, list[Array], dict[str, Array]]:
    """`(version of Keras, outputs, outputs of layers by name)` for one array of `x` per input, in float64.

    Raises `KerasError` if the installed Keras cannot read or compute the model, and if its process exceeds a limit.
    """
    modules = installed_modules()
    with tempfile.TemporaryDirectory(prefix="jconv-") as folder:
        copy, x_path, y_path = (Path(folder, name) for name in ("copy.h5", "x.npz", "y.npz"))
        major = 2 if 2 in modules and _copy_keras_2(path, copy, max_bytes) else 3
        if major not in modules:
            raise KerasError("only Keras 2 is installed, which cannot read files of Keras 3")
        if major == 3:
            copy = Path(folder, "copy.keras")
            try:
                save(copy, file.model, file.params, file.state)
            except (KerasFileError, ImportError) as error:
                raise KerasError(f"jconv cannot write the model for Keras: {error}") from None
        inputs: Any = {f"input/{i}": array for i, array in enumerate(x)}
        np.savez(x_path, **inputs)
        _run_script([modules[major], str(copy), str(x_path), str(y_path), str(MAX_MEMORY)])
        with np.load(y_path, allow_pickle=False) as values:
            arrays = {name: values[name] for name in values.files}
    layers = {name.removeprefix("layer/"): value for name, value in arrays.items() if name.startswith("layer/")}
    keras_version = f"{modules[major]} {version(modules[major])}"
    return keras_version, [arrays[f"output/{i}"] for i in range(len(arrays) - len(layers))], layers


def _run_script(arguments: list[str]) -> None:
    # On CPU, because GPUs may compute with fewer bits.
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("JAX_ENABLE_X64", None)
    try:
        child = subprocess.run(
            # With -P, modules in the current folder cannot replace Keras.
            [sys.executable, "-P", "-c", SCRIPT, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise KerasError(f"it needs more than {MAX_SECONDS} seconds") from None
    if child.returncode:
        lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
        raise KerasError(lines[-1] if lines else f"it ended with exit code {child.returncode}")


def _copy_keras_2(path: Path, copy: Path, max_bytes: int) -> bool:
    """Write the config and the arrays of a complete model of Keras 2, nothing else; returns False for other files.

    Raises `KerasError` for a config that makes Keras import code.
    """
    with open_contents(path, max_bytes) as contents:
        source, config = contents.by_layer, contents.config
        if source is None or config is None or not contents.is_keras_2:
            return False
        if code := _code_in(config):
            raise KerasError(f"the file names {code}, which is not part of Keras")
        import h5py

        with h5py.File(copy, "w") as target:
            target.attrs["model_config"] = json.dumps(config).encode()
            group = target.create_group(contents.group)
            for place in (target, group):
                # Without these, Keras expects the arrays of Keras 1.
                place.attrs["keras_version"], place.attrs["backend"] = contents.version.encode(), b"tensorflow"
            names = source.texts("layer_names", contents.group)
            group.attrs["layer_names"] = np.array([name.encode() for name in names], "S")
            for name in names:
                path_in_source = f"{contents.group}/{name}"
                weights = source.texts("weight_names", path_in_source)
                layer_group = group.require_group(name)
                layer_group.attrs["weight_names"] = np.array([weight.encode() for weight in weights], "S")
                for weight in weights:
                    layer_group[weight] = source.read(f"{path_in_source}/{weight}")
    return True


def _code_in(config: Any) -> str | None:
    """A description of the first thing in a config that Keras would import or execute; None if there is none."""
    for value in objects_in(config):
        module = value.get("module")
        if isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
            return f"the module {module[:80]!a}"
        if value.get("class_name") in ("Lambda", "__lambda__"):
            return "a lambda"
    return None
