"""`jconv verify`: JAX against NumPy and Keras, as a table and an exit code."""

from __future__ import annotations

import argparse
import json
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np

from ..text_table import table
from . import real_keras
from .arrays import as_read, read_inputs
from .deviations import (
    Deviation,
    NodeDeviations,
    bound_as_saved,
    deviation,
    node_by_node,
    reference_values,
    whole,
)
from .errors import UserError
from .opened import Opened, closed, opened, shown, whole_numbers

FINE, DEVIATES = 0, 1
MOST_SHOWN = 10
WHOLE = "whole network"


class Row(NamedTuple):
    """A node's three deviations, or those of the whole network; Keras's is None where there is none."""

    name: str
    layer: str
    float32: Deviation
    float64: Deviation
    keras: Deviation | None

    def worst(self) -> float:
        """The greatest by its bound."""
        return max(d.value / d.bound for d in self[2:] if d is not None)


def run(options: argparse.Namespace) -> int:
    """Verify `options.file`, print what was found and return the exit code."""
    found = opened(options.file, options.max_bytes)
    x = _inputs(options, found)
    compared = options.keras is not False and (options.keras or real_keras.installed())
    if compared and not real_keras.installed():
        raise UserError("--keras: Keras is not installed")
    model, params, state = found[:3]
    # A GPU would multiply in fewer bits than float32 has.
    with jax.default_matmul_precision("highest"):
        expected = reference_values(model, params, state, x)
        nodes = node_by_node(model, params, state, x)
        network = whole(model, params, state, x, expected)
    outputs, layers, note = [], {}, "" if options.keras is False else "Keras is not installed"
    if compared:
        try:
            outputs, layers = real_keras.outputs(options.file, [*x.values()], options.max_bytes)
            note = ""
        except real_keras.KerasFailed as error:
            if options.keras:
                raise UserError(f"{options.file.name}: Keras gave no numbers: {error}") from None
            note = f"Keras gave no numbers: {error}"
    bound = bound_as_saved(model)
    rows = [_row(node, _against(expected[node.name], layers.get(node.name), bound)) for node in nodes]
    right = tuple(expected[name] for name in model.outputs)
    of_keras = Deviation(deviation(outputs, right), bound) if outputs else None
    total = _row(network._replace(name=WHOLE), of_keras)
    if options.json:
        print(json.dumps(_data(rows, total, note), indent=1))
    else:
        source = options.input.name if options.input else f"random, seed {options.seed}"
        print(f"{options.file.name}: {len(rows)} nodes; input {shown(_shapes(x))}, {source}")
        print(*_report(rows, total, note, options.all), sep="\n")
    return DEVIATES if any(d.beyond for row in (*rows, total) for d in row[2:] if d is not None) else FINE


def _inputs(options: argparse.Namespace, found: Opened) -> dict[str, Any]:
    if options.input is not None:
        return {name: as_read(array, name) for name, array in read_inputs(options.input, found).items()}
    shapes = closed(found.model, found.shapes, options.length)
    rng = np.random.default_rng(options.seed)
    whole = whole_numbers(found.model)
    x: dict[str, Any] = {}
    for name, shape in shapes.items():
        size = (options.batch, *shape)
        x[name] = np.int32(rng.integers(0, whole[name], size)) if name in whole else np.float32(rng.normal(size=size))
    return x


def _row(node: NodeDeviations, keras: Deviation | None) -> Row:
    return Row(*node, keras)


def _against(expected: Any, y: Any, bound: float) -> Deviation | None:
    # A layer of that name whose output has another shape is not this node.
    if y is None or isinstance(expected, tuple) or np.shape(y) != np.shape(expected):
        return None
    return Deviation(deviation(y, expected), bound)


def _shapes(x: dict[str, Any]) -> dict[str, Any]:
    return {name: array.shape for name, array in x.items()}


def _report(rows: list[Row], total: Row, note: str, every: bool) -> list[str]:
    worst = sorted(rows, key=Row.worst, reverse=True)
    shown_rows = rows if every else [row for row in rows if row in worst[:MOST_SHOWN]]
    columns = ["float32", "float64"] + ["Keras"] * (total.keras is not None)
    heads = ("node", "layer", *columns)
    cells = [(row.name, row.layer, *map(_cell, row[2 : 2 + len(columns)])) for row in (*shown_rows, total)]
    width = shutil.get_terminal_size((0, 0)).columns or None
    lines = table(heads, cells, right=columns, width=width)
    if len(shown_rows) < len(rows):
        lines.append(f"the {len(shown_rows)} worst of {len(rows)} nodes; --all shows every one")
    for i, column in enumerate(columns, start=2):
        lines.append(_worst(column, [row for row in (*rows, total) if row[i] is not None], i))
    return [*lines, *([note] if note else [])]


def _worst(column: str, rows: list[Row], i: int) -> str:
    row = max(rows, key=lambda row: row[i].value / row[i].bound)
    of: Deviation = row[i]
    where = row.name if row.name == WHOLE else f"{row.name}, {row.layer}"
    verdict = f"beyond the bound of {of.bound:.0e}" if of.beyond else f"within the bound of {of.bound:.0e}"
    return f"{column:<8}worst {_cell(of)}, {verdict}: {where}"


def _cell(of: Deviation | None) -> str:
    return "" if of is None else f"{of.value:.1e}{' !' * of.beyond}"


def _data(rows: list[Row], total: Row, note: str) -> dict[str, Any]:
    def plain(row: Row) -> dict[str, Any]:
        # JSON has no infinity.
        return {
            name: of if isinstance(of, str) or of is None else {"deviation": _number(of.value), "bound": of.bound}
            for name, of in row._asdict().items()
        }

    beyond = [row.name for row in (*rows, total) if any(d.beyond for d in row[2:] if d is not None)]
    return {"nodes": [plain(row) for row in rows], "network": plain(total), "beyond": beyond, "note": note}


def _number(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)
