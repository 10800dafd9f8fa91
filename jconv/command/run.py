"""`jconv run`: a file of inputs to a file of outputs, a batch at a time."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.lib.format import open_memmap

from .arrays import Array, as_read, beside, check_place, read_inputs
from .errors import UserError
from .opened import opened, whole_numbers


def run(options: argparse.Namespace) -> int:
    """Write the outputs of `options.file` for `options.input` to `options.output` and return the exit code."""
    output: Path = options.output
    found = opened(options.file, options.max_bytes)
    model = found.model
    _check_name(output, model.outputs)
    check_place(output, {"model": options.file, "input": options.input})
    x = read_inputs(options.input, found, options.max_bytes)
    whole = whole_numbers(model)
    apply = jax.jit(lambda params, state, x: model.apply(params, state, x)[0])

    def outputs(start: int) -> dict[str, Array]:
        part = {name: as_read(a[start : start + options.batch], name, name in whole) for name, a in x.items()}
        y = apply(found.params, found.state, part)
        named = {model.outputs[0]: y} if len(model.outputs) == 1 else y
        return {name: _storable(np.asarray(named[name])) for name in model.outputs}

    examples = len(x[model.inputs[0]])
    with beside(output) as folder:
        arrays = _filled(folder, outputs, examples, options.batch)
        shapes = {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
        _finish(folder, arrays, output)
    text = ", ".join(f"{name} {shape} {dtype}" for name, (shape, dtype) in shapes.items())
    print(f"{output}: {text}")
    return 0


def _check_name(output: Path, names: tuple[str, ...]) -> None:
    if output.suffix not in (".npy", ".npz"):
        raise UserError(f"--output {output}: the name must end in .npy or .npz")
    if len(names) > 1 and output.suffix == ".npy":
        raise UserError(
            f"--output {output}: the model has outputs {', '.join(names)}, for which the name must end in .npz"
        )


def _storable(y: Array) -> Array:
    # NumPy's files have no bfloat16.
    return y.astype(np.float32) if y.dtype.name == "bfloat16" else y


def _filled(folder: Path, outputs: Callable[[int], Mapping[str, Array]], examples: int, batch: int) -> dict[str, Array]:
    """All outputs as arrays that lie in files `0.npy`, `1.npy`, ... of the folder."""
    arrays: dict[str, Array] = {}
    for start in range(0, examples, batch):
        for i, (name, y) in enumerate(outputs(start).items()):
            if not start:
                shape = (examples, *y.shape[1:])
                arrays[name] = open_memmap(folder / f"{i}.npy", mode="w+", dtype=y.dtype, shape=shape)
            arrays[name][start : start + batch] = y
    return arrays


def _finish(folder: Path, arrays: dict[str, Array], output: Path) -> None:
    for array in arrays.values():
        assert isinstance(array, np.memmap)
        array.flush()
    made = folder / "0.npy"
    if output.suffix == ".npz":
        made = folder / "all.npz"
        named: Any = arrays
        np.savez(made, **named)
    os.replace(made, output)
