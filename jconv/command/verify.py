"""`jconv verify`: compares JAX with NumPy and Keras, and prints a table."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np

from ..model.table import table
from . import real_keras
from .arrays import cast_input, read_inputs
from .deviations import (
    Deviation,
    NodeDeviations,
    network_bound,
    network_deviations,
    node_deviations,
    relative_deviation,
    saturated_outputs,
    without_activations,
)
from .errors import UserError
from .model_file import ModelFile, choose_sizes, format_shapes, load_model

PASSED, DEVIATES = 0, 1
# How many of the worst nodes of each column are shown.
WORST = 4
NETWORK, KERAS = "whole network", "Keras"


def run(options: argparse.Namespace) -> int:
    """Verify `options.file`, print the result and return the exit code."""
    file = load_model(options)
    x = _inputs(options, file)
    if options.keras and not real_keras.installed_modules():
        raise UserError("--keras: Keras is not installed: pip install keras")
    model, params, state, _ = file
    # GPUs multiply float32 with fewer bits by default. On CPUs, "highest" would change what "fastest" chooses.
    with nullcontext() if jax.default_backend() == "cpu" else jax.default_matmul_precision("highest"):
        values = {**x, **model.reference_values(params, state, x)}
        rows = node_deviations(model, params, state, x)
        # The network is compared before saturated activations, whose values hide all differences.
        compared = without_activations(model, saturated_outputs(model, values))
        changed = [new.name for new, old in zip(compared.nodes, model.nodes, strict=True) if new != old]
        if changed:
            values = {**x, **compared.reference_values(params, state, x)}
        network = NodeDeviations(NETWORK, "", network_deviations(compared, params, state, x, values))
    notes = [f"the outputs are saturated and compared before the activation of {', '.join(changed)}"] if changed else []
    if options.keras:
        try:
            keras_version, outputs, layers = real_keras.outputs(
                options.file, file._replace(model=compared), [*x.values()], options.max_bytes
            )
        except real_keras.KerasError as error:
            raise UserError(f"{options.file.name}: Keras computed no outputs: {error}") from None
        notes.append(f"by {keras_version}")
        bound = network_bound(model)
        for row in rows:
            # A Keras layer may have the name of a node whose output has another shape.
            expected, y = values[row.name], layers.get(row.name)
            if y is not None and not isinstance(expected, tuple) and np.shape(y) == np.shape(expected):
                row.deviations[KERAS] = Deviation(relative_deviation(y, expected), bound)
        expected = tuple(values[name] for name in model.outputs)
        network.deviations[KERAS] = Deviation(relative_deviation(outputs, expected), bound)
    rows.append(network)
    if options.json:
        print(json.dumps(_to_json(rows, "; ".join(notes)), indent=1))
    else:
        source = options.input.name if options.input else f"random, seed {options.seed}"
        shapes = format_shapes({name: array.shape for name, array in x.items()})
        print(f"{options.file.name}: {len(rows) - 1} nodes; input {shapes}, {source}")
        print(*_report(rows, options.all), *(["; ".join(notes)] if notes else []), sep="\n")
    return DEVIATES if any(row.exceeds_bound for row in rows) else PASSED


def _inputs(options: argparse.Namespace, file: ModelFile) -> dict[str, Any]:
    if options.input is not None:
        inputs = read_inputs(options.input, file, options.max_bytes)
        return {name: cast_input(array, name, file.dtypes[name]) for name, array in inputs.items()}
    integers = file.model.integer_inputs()
    rng = np.random.default_rng(options.seed)
    x: dict[str, Any] = {}
    for name, sizes in choose_sizes(file.model, file.shapes, options.length).items():
        shape = (options.batch, *sizes)
        is_integer = name in integers
        x[name] = np.int32(rng.integers(0, integers[name], shape)) if is_integer else np.float32(rng.normal(size=shape))
    return x


def _report(rows: list[NodeDeviations], shows_all: bool) -> list[str]:
    *nodes, network = rows
    columns = [*network.deviations]
    worst = {row.name for column in columns for row in _by_ratio(nodes, column)[:WORST]}
    shown = nodes if shows_all else [row for row in nodes if row.name in worst]
    cells = [(row.name, row.layer, *(_cell(row.deviations.get(c)) for c in columns)) for row in (*shown, network)]
    width = shutil.get_terminal_size((0, 0)).columns or None
    lines = table(("node", "layer", *columns), cells, right=columns, width=width)
    if len(shown) < len(nodes):
        lines.append(f"the {len(shown)} worst of {len(nodes)} nodes; --all shows all")
    return lines + [_summary(column, _by_ratio(rows, column)[0]) for column in columns]


def _by_ratio(rows: list[NodeDeviations], column: str) -> list[NodeDeviations]:
    return sorted(rows, key=lambda row: row.ratio(column), reverse=True)


def _summary(column: str, worst: NodeDeviations) -> str:
    deviation = worst.deviations[column]
    relation = f"{'beyond' if deviation.exceeds_bound else 'within'} the bound of {deviation.bound:.0e}"
    return f"{column:<8}worst {deviation.value:.1e}, {relation}: {worst.name}"


def _cell(deviation: Deviation | None) -> str:
    return "" if deviation is None else f"{deviation.value:.1e}{' !' * deviation.exceeds_bound}"


def _to_json(rows: list[NodeDeviations], note: str) -> dict[str, Any]:
    *nodes, network = (
        {"name": row.name, "layer": row.layer, **{c: _deviation_to_json(d) for c, d in row.deviations.items()}}
        for row in rows
    )
    beyond = [row.name for row in rows if row.exceeds_bound]
    return {"nodes": nodes, "network": network, "beyond": beyond, "note": note}


def _deviation_to_json(deviation: Deviation) -> dict[str, Any]:
    # JSON has no infinity.
    value = deviation.value if math.isfinite(deviation.value) else str(deviation.value)
    return {"deviation": value, "bound": deviation.bound}
