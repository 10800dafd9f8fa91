"""Records the outputs of Keras for the files that jconv loads, in processes of other Pythons."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import UserError

from . import keras_outputs
from .manifest import Inputs, Published, Recorded, examples, recorded_values

SECONDS = 3600
"""The time limit in seconds for all files of one Python."""


def major(published: Published) -> str:
    """The major version of Keras that computes a file: 3 for files of Keras 3, 2 for all older files."""
    return "3" if published.keras.startswith("3") else "2"


def record(
    files: Sequence[tuple[Published, Path, Inputs]], pythons: Mapping[str, str]
) -> tuple[dict[str, Recorded], dict[str, str]]:
    """The outputs of Keras for files with the shapes of their inputs, and the reasons of failures, by digest.

    `pythons` has the command of a Python for each major version of Keras; files without one are left out.
    """
    recorded: dict[str, Recorded] = {}
    reasons: dict[str, str] = {}
    for version, python in pythons.items():
        group = [file for file in files if major(file[0]) == version]
        if not group:
            continue
        with tempfile.TemporaryDirectory(prefix="jconv-") as folder:
            answers = _answers(group, version, python, Path(folder))
            for published, _, inputs in group:
                answer = answers.get(published.sha256, {"error": "Keras's process ended before this file"})
                if "error" in answer:
                    reasons[published.sha256] = answer["error"]
                    continue
                with np.load(_outputs(Path(folder), published), allow_pickle=False) as arrays:
                    values, scale = recorded_values(arrays[f"arr_{i}"] for i in range(len(arrays.files)))
                if not np.isfinite(scale):
                    reasons[published.sha256] = "Keras's outputs are not finite"
                    continue
                recorded[published.sha256] = Recorded(published.sha256, answer["by"], inputs, scale, tuple(values))
    return recorded, reasons


def _outputs(folder: Path, published: Published) -> Path:
    return folder / f"{published.sha256}.outputs.npz"


def _answers(
    files: Sequence[tuple[Published, Path, Inputs]], version: str, python: str, folder: Path
) -> dict[str, Any]:
    tasks = []
    for published, path, inputs in files:
        x = folder / f"{published.sha256}.inputs.npz"
        np.savez(x, *examples(inputs))
        # Keras recognizes the format by the name.
        link = folder / f"{published.sha256}{Path(published.path).suffix}"
        link.symlink_to(path.resolve())
        outputs = str(_outputs(folder, published))
        task = {"sha256": published.sha256, "file": str(link), "inputs": str(x), "outputs": outputs}
        tasks.append({**task, "supplied": published.supplied})
    listed = folder / "tasks.json"
    listed.write_text(json.dumps(tasks))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    environment.pop("PYTHONPATH", None)
    answers = folder / "answers"
    try:
        with answers.open("w") as file, suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [python, keras_outputs.__file__, version, str(listed)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                timeout=SECONDS,
            )
    except OSError as error:
        raise UserError(f"{python}: {error.strerror}") from None
    lines = [json.loads(line) for line in answers.read_text().splitlines() if line.startswith("{")]
    return {line["sha256"]: line for line in lines}
