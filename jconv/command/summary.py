"""`jconv summary`: the model's table, or the same as JSON."""

from __future__ import annotations

import argparse
import json
import shutil
from typing import Any

from ..model.summary import count
from .opened import Opened, closed, opened


def run(options: argparse.Namespace) -> int:
    """Print the summary of `options.file` and return the exit code."""
    found = opened(options.file, options.max_bytes)
    shapes = found.shapes if options.length is None else closed(found.model, found.shapes, options.length)
    if options.json:
        print(json.dumps(_data(found, shapes, options.batch), indent=1))
    else:
        # 0 where the output is no terminal.
        width = shutil.get_terminal_size((0, 0)).columns or None
        print(found.model.summary(shapes, batch=options.batch, width=width))
    return 0


def _data(found: Opened, shapes: dict[str, Any], batch: int) -> dict[str, Any]:
    rows, counts = count(found.model, found.params, found.state, found.model.all_shapes(shapes), batch)
    return {
        "inputs": shapes,
        "nodes": [row._asdict() for row in rows],
        "outputs": found.model.outputs,
        "trained": counts.trained,
        "state": counts.state,
        "flops": counts.flops,
    }
