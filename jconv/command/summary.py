"""`jconv summary`: the table of the model, or the same as JSON."""

from __future__ import annotations

import argparse
import json
import shutil
from typing import Any

from ..model.summary import rows_and_totals
from .model_file import ModelFile, Shapes, choose_sizes, load_model


def run(options: argparse.Namespace) -> int:
    """Print the summary of `options.file` and return the exit code."""
    file = load_model(options)
    shapes = file.shapes if options.length is None else choose_sizes(file.model, file.shapes, options.length)
    if options.json:
        print(json.dumps(_to_json(file, shapes, options.batch), indent=1))
    else:
        # 0 unless the output is a terminal.
        width = shutil.get_terminal_size((0, 0)).columns or None
        print(file.model.summary(shapes, batch=options.batch, width=width))
    return 0


def _to_json(file: ModelFile, shapes: Shapes, batch: int) -> dict[str, Any]:
    rows, totals = rows_and_totals(file.model, file.params, file.state, file.model.all_shapes(shapes), batch)
    return {
        "inputs": shapes,
        "nodes": [row._asdict() for row in rows],
        "outputs": file.model.outputs,
        "trained": totals.trained,
        "state": totals.state,
        "flops": totals.flops,
    }
