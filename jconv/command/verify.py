"""`jconv verify`: JAX against NumPy and Keras, as a table and an exit code."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np

from ..model.table import table
from . import real_keras
from .arrays import as_read, read_inputs
from .deviations import (
    Deviation,
    NodeDeviations,
    bound_as_saved,
    deviation,
    node_by_node,
    saturated_outputs,
    whole,
    without_activations,
)
from .errors import UserError
from .opened import Opened, closed, opened, shown, whole_numbers

FINE, DEVIATES = 0, 1
# Of each column.
MOST_SHOWN = 4
WHOLE, KERAS = "whole network", "Keras"


class Row(NamedTuple):
    """A node, or the whole network, and its deviations by the column that they stand in."""

    name: str
    layer: str
    found: dict[str, Deviation]

    def ratio(self, column: str) -> float:
        """The deviation of a column by its bound; below zero where there is none."""
        of = self.found.get(column)
        return -1.0 if of is None else of.value / of.bound


def run(options: argparse.Namespace) -> int:
    """Verify `options.file`, print what was found and return the exit code."""
    found = opened(options.file, options.max_bytes)
    x = _inputs(options, found)
    if options.keras and not real_keras.installed():
        raise UserError("--keras: Keras is not installed")
    model, params, state = found[:3]
    # A GPU would multiply in fewer bits than float32 has. On a CPU, "highest" would keep "fastest" from what it does.
    with nullcontext() if jax.default_backend() == "cpu" else jax.default_matmul_precision("highest"):
        expected = {**x, **model.reference_values(params, state, x)}
        nodes = node_by_node(model, params, state, x)
        # Behind a saturated activation all networks are alike.
        plain = without_activations(model, saturated_outputs(model, expected))
        saturated = [new.name for new, old in zip(plain.nodes, model.nodes, strict=True) if new != old]
        before = {**x, **plain.reference_values(params, state, x)} if saturated else expected
        network = whole(plain, params, state, x, before)
    note = (
        f"the outputs are saturated and compared before the activation of {', '.join(saturated)}" if saturated else ""
    )
    outputs, layers = [], {}
    if options.keras:
        try:
            read = found._replace(model=plain)
            judge, outputs, layers = real_keras.outputs(options.file, read, [*x.values()], options.max_bytes)
        except real_keras.KerasFailed as error:
            raise UserError(f"{options.file.name}: Keras gave no numbers: {error}") from None
        note = f"{note}; by {judge}" if note else f"by {judge}"
    bound = bound_as_saved(model)
    rows = [_row(node, _against(before[node.name], layers.get(node.name), bound)) for node in nodes]
    right = tuple(before[name] for name in model.outputs)
    of_keras = Deviation(deviation(outputs, right), bound) if outputs else None
    rows.append(_row(network._replace(name=WHOLE), of_keras))
    if options.json:
        print(json.dumps(_data(rows, note), indent=1))
    else:
        source = options.input.name if options.input else f"random, seed {options.seed}"
        print(f"{options.file.name}: {len(nodes)} nodes; input {shown(_shapes(x))}, {source}")
        print(*_report(rows, note, options.all), sep="\n")
    return DEVIATES if _beyond(rows) else FINE


def _inputs(options: argparse.Namespace, found: Opened) -> dict[str, Any]:
    whole = whole_numbers(found.model)
    if options.input is not None:
        inputs = read_inputs(options.input, found, options.max_bytes)
        return {name: as_read(array, name, name in whole) for name, array in inputs.items()}
    shapes = closed(found.model, found.shapes, options.length)
    rng = np.random.default_rng(options.seed)
    x: dict[str, Any] = {}
    for name, shape in shapes.items():
        size = (options.batch, *shape)
        x[name] = np.int32(rng.integers(0, whole[name], size)) if name in whole else np.float32(rng.normal(size=size))
    return x


def _row(node: NodeDeviations, keras: Deviation | None) -> Row:
    found = {"float32": node.float32, "float64": node.float64}
    return Row(node.name, node.layer, found if keras is None else {**found, KERAS: keras})


def _against(expected: Any, y: Any, bound: float) -> Deviation | None:
    # A layer of that name whose output has another shape is not this node.
    if y is None or isinstance(expected, tuple) or np.shape(y) != np.shape(expected):
        return None
    return Deviation(deviation(y, expected), bound)


def _shapes(x: dict[str, Any]) -> dict[str, Any]:
    return {name: array.shape for name, array in x.items()}


def _beyond(rows: list[Row]) -> list[str]:
    return [row.name for row in rows if any(of.beyond for of in row.found.values())]


def _report(rows: list[Row], note: str, every: bool) -> list[str]:
    *nodes, total = rows
    columns = [*total.found]
    worst = {row.name for column in columns for row in _sorted(nodes, column)[:MOST_SHOWN]}
    picked = nodes if every else [row for row in nodes if row.name in worst]
    cells = [(row.name, row.layer, *(_cell(row.found.get(name)) for name in columns)) for row in (*picked, total)]
    width = shutil.get_terminal_size((0, 0)).columns or None
    lines = table(("node", "layer", *columns), cells, right=columns, width=width)
    if len(picked) < len(nodes):
        lines.append(f"the {len(picked)} worst of {len(nodes)} nodes; --all shows every one")
    lines += [_verdict(column, _sorted(rows, column)[0]) for column in columns]
    return [*lines, *([note] if note else [])]


def _sorted(rows: list[Row], column: str) -> list[Row]:
    return sorted(rows, key=lambda row: row.ratio(column), reverse=True)


def _verdict(column: str, row: Row) -> str:
    of = row.found[column]
    verdict = f"{'beyond' if of.beyond else 'within'} the bound of {of.bound:.0e}"
    return f"{column:<8}worst {of.value:.1e}, {verdict}: {row.name}"


def _cell(of: Deviation | None) -> str:
    return "" if of is None else f"{of.value:.1e}{' !' * of.beyond}"


def _data(rows: list[Row], note: str) -> dict[str, Any]:
    *nodes, total = ({"name": row.name, "layer": row.layer, **_plain(row.found)} for row in rows)
    return {"nodes": nodes, "network": total, "beyond": _beyond(rows), "note": note}


def _plain(found: dict[str, Deviation]) -> dict[str, Any]:
    # JSON has no infinity.
    return {
        name: {"deviation": of.value if math.isfinite(of.value) else str(of.value), "bound": of.bound}
        for name, of in found.items()
    }
