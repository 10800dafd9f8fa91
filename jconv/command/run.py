"""`jconv run`: from a file of inputs to a file of outputs, batch by batch."""

from __future__ import annotations

import argparse
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from numpy.lib.format import open_memmap

from ..atomic_files import temporary_folder
from .arrays import Array, cast_input, check_output, read_inputs
from .errors import UserError
from .model_file import load_model


def run(options: argparse.Namespace) -> int:
    """Write the outputs of `options.file` for `options.input` to `options.output` and return the exit code."""
    output: Path = options.output
    file = load_model(options)
    model = file.model
    _check_suffix(output, model.outputs)
    check_output(output, {"model": options.file, "input": options.input})
    x = read_inputs(options.input, file, options.max_bytes)
    dtypes = file.dtypes
    apply = jax.jit(lambda params, state, x: model.apply(params, state, x)[0])

    def compute(start: int) -> dict[str, Array]:
        batch = {name: cast_input(a[start : start + options.batch], name, dtypes[name]) for name, a in x.items()}
        y = apply(file.params, file.state, batch)
        by_name = {model.outputs[0]: y} if len(model.outputs) == 1 else y
        return {name: _to_storable(np.asarray(by_name[name])) for name in model.outputs}

    examples = len(x[model.inputs[0]])
    with temporary_folder(output) as folder:
        arrays = _compute_all(folder, compute, examples, options.batch)
        summary = ", ".join(f"{name} {array.shape} {array.dtype.name}" for name, array in arrays.items())
        _finish(folder, arrays, output)
    print(f"{output}: {summary}")
    return 0


def _check_suffix(output: Path, names: tuple[str, ...]) -> None:
    if output.suffix not in (".npy", ".npz"):
        raise UserError(f"--output {output}: the name must end in .npy or .npz")
    if len(names) > 1 and output.suffix == ".npy":
        raise UserError(
            f"--output {output}: the name must end in .npz, since the model has several outputs: {', '.join(names)}"
        )


def _to_storable(y: Array) -> Array:
    # NumPy's files have no bfloat16.
    return y.astype(np.float32) if y.dtype.name == "bfloat16" else y


def _compute_all(
    folder: Path, compute: Callable[[int], Mapping[str, Array]], examples: int, batch: int
) -> dict[str, Array]:
    """All outputs, as arrays that are mapped to the files `0.npy`, `1.npy`, ... of the folder."""
    arrays: dict[str, Array] = {}
    for start in range(0, examples, batch):
        for i, (name, y) in enumerate(compute(start).items()):
            if not start:
                shape = (examples, *y.shape[1:])
                arrays[name] = open_memmap(folder / f"{i}.npy", mode="w+", dtype=y.dtype, shape=shape)
            arrays[name][start : start + batch] = y
    return arrays


def _finish(folder: Path, arrays: dict[str, Array], output: Path) -> None:
    for array in arrays.values():
        assert isinstance(array, np.memmap)
        array.flush()
    result = folder / "0.npy"
    if output.suffix == ".npz":
        result = folder / "all.npz"
        # np.savez takes names as keywords, and has some of its own.
        with zipfile.ZipFile(result, "w") as archive:
            for number, name in enumerate(arrays):
                archive.write(folder / f"{number}.npy", f"{name}.npy")
    os.replace(result, output)
