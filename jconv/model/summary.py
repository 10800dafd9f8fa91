"""The table that `Model.summary` prints: shapes, sizes, receptive fields and operations, node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..inspect.trace import chosen_algorithms
from ..layers.base import map_shapes
from .channels_first import length_first
from .nodes import LayerGraph, Node
from .table import table

HEADS = ("node", "layer", "reads", "output", "params", "sees", "FLOPs")
RIGHT = ("params", "sees", "FLOPs")
ALGORITHM = "algorithm"
UNKNOWN = "?"
# For a length that is not known, where all that is asked is whether there is a convolution.
STAND_IN = 5040


class Row(NamedTuple):
    """What the table says of a node.

    `params` is None for a node that shares its arrays with one above it, `sees` for one that sees the whole length,
    `flops` where a size is not known; `algorithms` are those of the node's convolutions, `"?"` where they depend on a
    size that is not known, and None where nobody asked.
    """

    name: str
    layer: str
    inputs: tuple[str, ...]
    output: Any
    params: int | None
    sees: int | None
    flops: int | None
    algorithms: tuple[str, ...] | None = None


class Counts(NamedTuple):
    """The model's numbers in all: elements of its trained arrays and of its state, and FLOPs for one example."""

    trained: int
    state: int
    flops: int | None


def count(
    model: LayerGraph, params: Mapping[str, Any], state: Mapping[str, Any], shapes: Mapping[str, Any], batch: int | None
) -> tuple[list[Row], Counts]:
    """A row for each node, and the sums; with a `batch` the rows have algorithms."""
    fields = receptive_fields(model)
    rows: list[Row] = []
    for node in model.nodes:
        first = not any(node.key == row.key for row in model.nodes[: len(rows)])
        own = params.get(node.key, {}), state.get(node.key, {})
        read = node.select(shapes)
        row = Row(
            node.name,
            str(node.layer),
            node.inputs,
            shapes[node.name],
            _count(own) if first else None,
            fields[node.name],
            None if _open(read) else node.layer.flops(read),
            None if batch is None else _algorithms(node, own, read, batch),
        )
        rows.append(row)
    flops = [row.flops for row in rows]
    total = None if None in flops else sum(f for f in flops if f is not None)
    return rows, Counts(_count(params), _count(state), total)


def summary(
    model: LayerGraph,
    params: Mapping[str, Any],
    state: Mapping[str, Any],
    shapes: Mapping[str, Any],
    *,
    batch: int | None,
    width: int | None,
) -> str:
    """The table of a model for one example; see `Model.summary`."""
    rows, counts = count(model, params, state, shapes, batch)
    cells = [(name, "input", "", str(shapes[name]), "", "", "") for name in model.inputs]
    cells += [
        (
            row.name,
            row.layer,
            "" if row.inputs == (above,) else ", ".join(row.inputs),
            str(row.output),
            "shared" if row.params is None else f"{row.params:,}",
            "all" if row.sees is None else f"{row.sees:,}",
            _shown(row.flops),
        )
        for row, above in zip(rows, [model.inputs[-1], *(row.name for row in rows)], strict=False)
    ]
    heads = HEADS
    if batch is not None:
        heads = (*HEADS, ALGORITHM)
        algorithms = [""] * len(model.inputs) + [", ".join(row.algorithms or ()) for row in rows]
        cells = [(*cell, algorithm) for cell, algorithm in zip(cells, algorithms, strict=True)]
    return "\n".join(
        [
            *table(heads, cells, right=RIGHT, width=width),
            f"params {counts.trained + counts.state:,} ({counts.trained:,} trained, {counts.state:,} state)",
            f"FLOPs {_shown(counts.flops)} for one example",
            *([f"outputs {', '.join(model.outputs)}"] if len(model.outputs) > 1 else []),
        ]
    )


def receptive_fields(model: LayerGraph) -> dict[str, int | None]:
    """For each node, how many samples of a model input one output sample spans along the longest path; None for all.

    >>> from jconv.layers import Conv1D, Conv1DTranspose
    >>> from jconv.model import sequential
    >>> receptive_fields(sequential([Conv1D(1, 3, stride=2), Conv1D(1, 3), Conv1DTranspose(1, 4, stride=2)]))
    {'conv1d': 3, 'conv1d_1': 7, 'conv1d_transpose': 9}
    """
    model = length_first(model).model
    return {node.name: _spanned(model, last) for last, node in enumerate(model.nodes)}


def _spanned(model: LayerGraph, last: int) -> int | None:
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


def _algorithms(node: Node, own: Any, read: Any, batch: int) -> tuple[str, ...]:
    x = map_shapes(lambda shape: _array(batch, shape), read)
    try:
        choices = chosen_algorithms(lambda params, state, x: node.layer.apply(params, state, x)[0], *own, x)
    except ValueError:
        # The stand-in may be a length that the layer cannot take.
        if _open(read):
            return ()
        raise
    return tuple(dict.fromkeys(UNKNOWN if _open(read) else choice.algorithm for choice in choices))


def _array(batch: int, shape: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((batch, *(STAND_IN if size is None else size for size in shape)), jnp.float32)


def _open(shapes: Any) -> bool:
    """Whether a size of a shape, or of one of several, is not known."""
    return any(size is None or (isinstance(size, (tuple, list)) and _open(size)) for size in shapes)


def _count(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _shown(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"
