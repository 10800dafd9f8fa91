"""The table that `Model.summary` prints: shapes, sizes, receptive fields and operations, node by node."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from .model import Model, Node

HEADS = ("node", "layer", "reads", "output", "params", "sees", "FLOPs")
RIGHT = ("params", "sees", "FLOPs")

# How many input samples a value spans, and how many lie between one and the next; None where all are seen.
Field = tuple[int | Fraction, int | Fraction] | None


def summary(model: Model, input_shape: Any) -> str:
    """The table of a model for one example of `input_shape`; see `Model.summary`."""
    shapes = {**model.named(input_shape, "input_shape"), **model.output_shapes(input_shape)}
    params, state = jax.eval_shape(lambda key: model.init(key, input_shape), jax.random.key(0))
    fields = receptive_fields(model)
    rows: list[tuple[str, ...]] = []
    flops: list[int | None] = []
    for node in model.nodes:
        flops.append(_flops(node, shapes))
        first = not any(node.key == row.key for row in model.nodes[: len(rows)])
        own = _count(params.get(node.key, {})) + _count(state.get(node.key, {}))
        rows.append(
            (
                node.name,
                str(node.layer),
                ", ".join(node.inputs),
                str(shapes[node.name]),
                f"{own:,}" if first else "shared",
                "all" if (field := fields[node.name]) is None else f"{int(field[0]):,}",
                _shown(flops[-1]),
            )
        )
    trained, kept = _count(params), _count(state)
    total = None if None in flops else sum(f for f in flops if f is not None)
    return "\n".join(
        [
            *_table(rows),
            f"params {trained + kept:,} ({trained:,} trained, {kept:,} state)",
            f"FLOPs {_shown(total)} for one example",
        ]
    )


def receptive_fields(model: Model) -> dict[str, Field]:
    """For each name, the input samples that one value spans at most and the samples from one value to the next."""
    fields: dict[str, Field] = {name: (1, 1) for name in model.inputs}
    for node in model.nodes:
        window = node.layer.window()
        read = [fields[name] for name in node.inputs]
        known = [field for field in read if field is not None]
        if window is None or len(known) < len(read):
            fields[node.name] = None
            continue
        span, step = (max(sizes) for sizes in zip(*known, strict=True))
        reach, stride = window
        fields[node.name] = span + (reach - 1) * step, step * stride
    return fields


def _flops(node: Node, shapes: dict[str, Any]) -> int | None:
    read = tuple(shapes[name] for name in node.inputs)
    if any(None in shape for shape in read):
        return None
    return node.layer.flops(read if node.layer.merges else read[0])


def _count(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _shown(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(HEADS, *rows, strict=True)]
    lines = []
    for row in (HEADS, *rows):
        cells = zip(HEADS, row, widths, strict=True)
        lines.append("  ".join(c.rjust(w) if head in RIGHT else c.ljust(w) for head, c, w in cells).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:], "-" * max(map(len, lines))]
