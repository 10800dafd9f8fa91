"""What real Keras makes of a file, where it is installed; in a process of its own, so that nothing here imports it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..keras.container import opened
from ..keras.load import MAX_BYTES

Array = np.ndarray[Any, Any]

# Run by the child: the model's outputs in order, and those of every layer that has one call and one output, by name.
SCRIPT = """
import sys
import numpy as np
import keras

path, given, found = sys.argv[1:]
model = keras.models.load_model(path, compile=False, safe_mode=True)
with np.load(given, allow_pickle=False) as arrays:
    x = [arrays[f"input/{i}"] for i in range(len(arrays.files))]
taps = {}
for layer in model.layers:
    output = layer.output if len(layer._inbound_nodes) == 1 else None
    if isinstance(output, keras.KerasTensor) and not isinstance(layer, keras.layers.InputLayer):
        taps[layer.name] = output
names = [f"output/{i}" for i in range(len(model.outputs))] + [f"layer/{name}" for name in taps]
probe = keras.Model(model.inputs, [*model.outputs, *taps.values()])
values = keras.tree.flatten(probe.predict_on_batch(x))
np.savez(found, **{name: np.asarray(value).astype("float64") for name, value in zip(names, values, strict=True)})
"""


class KerasFailed(Exception):
    """Keras gave no numbers; the message says why in one line."""


def installed() -> bool:
    """Whether there is a Keras to ask."""
    return find_spec("keras") is not None


def outputs(path: Path, x: list[Array], max_bytes: int | None) -> tuple[list[Array], dict[str, Array]]:
    """The outputs of the file's model for `x`, one array an input, and its layers' outputs by name, in float64.

    Raises `KerasFailed` where the file names what Keras would import from elsewhere, and where Keras refuses it.
    """
    if foreign := _foreign(path, max_bytes):
        raise KerasFailed(f"the file names {foreign}, which is not Keras's own")
    with tempfile.TemporaryDirectory(prefix="jconv-") as folder:
        given, found = Path(folder, "given.npz"), Path(folder, "found.npz")
        arrays: Any = {f"input/{i}": array for i, array in enumerate(x)}
        np.savez(given, **arrays)
        # On the CPU, where numbers are exact; -P, so that no module of the current folder is taken for Keras.
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        environment.pop("JAX_ENABLE_X64", None)
        child = subprocess.run(
            [sys.executable, "-P", "-c", SCRIPT, str(path.resolve()), str(given), str(found)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if child.returncode:
            lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
            raise KerasFailed(lines[-1] if lines else f"it ended with {child.returncode}")
        with np.load(found, allow_pickle=False) as values:
            read = {name: values[name] for name in values.files}
    layers = {name.removeprefix("layer/"): value for name, value in read.items() if name.startswith("layer/")}
    return [read[f"output/{i}"] for i in range(len(read) - len(layers))], layers


def _foreign(path: Path, max_bytes: int | None) -> str | None:
    """What a config names that Keras would have to import from outside itself; older ones do so unasked."""
    with opened(path, MAX_BYTES if max_bytes is None else max_bytes) as contents:
        waiting: list[Any] = [contents.config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            module, class_name = value.get("module"), value.get("class_name")
            if isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
                return f"the module {module[:80]!a}"
            if class_name in ("Lambda", "__lambda__"):
                return "a lambda"
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None
