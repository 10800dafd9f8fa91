"""The table that `Model.summary` prints: shapes, sizes, receptive fields and operations, node by node."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from .model import Model, Node

HEADS = ("node", "layer", "reads", "output", "params", "sees", "FLOPs")
RIGHT = ("params", "sees", "FLOPs")


def summary(model: Model, input_shape: Any = None) -> str:
    """The table of a model for one example of `input_shape`; see `Model.summary`."""
    shapes = {**model.named_shapes(input_shape), **model.output_shapes(input_shape)}
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
                "all" if (field := fields[node.name]) is None else f"{field:,}",
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


def receptive_fields(model: Model) -> dict[str, int | None]:
    """For each node, how many samples of a model input one output sample spans along the longest path; None for all.

    >>> from .layers import Conv1D, Conv1DTranspose
    >>> from .model import sequential
    >>> receptive_fields(sequential([Conv1D(1, 3, stride=2), Conv1D(1, 3), Conv1DTranspose(1, 4, stride=2)]))
    {'conv1d': 3, 'conv1d_1': 7, 'conv1d_transpose': 9}
    """
    return {node.name: _spanned(model, last) for last, node in enumerate(model.nodes)}


def _spanned(model: Model, last: int) -> int | None:
    # Backwards from the one sample, since a transposed convolution rounds the number of samples that it reads down.
    needed = {model.nodes[last].name: 1}
    for node in reversed(model.nodes[: last + 1]):
        if node.name not in needed:
            continue
        window = node.layer.window()
        if window is None:
            return None
        reach, stride = window
        read = math.floor((needed[node.name] - 1) * stride + reach)
        needed |= {name: max(read, needed.get(name, 1)) for name in node.inputs}
    return max(needed.get(name, 1) for name in model.inputs)


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
