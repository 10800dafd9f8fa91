"""The table of `Model.summary`: for each node its shapes, sizes, receptive field and FLOPs."""

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
# Replaces unknown sizes when a layer is searched for convolutions. It has many divisors.
PLACEHOLDER_SIZE = 5040


class SummaryRow(NamedTuple):
    """A row of the table.

    `params` is None for a node that shares its arrays with a node above, `sees` for a receptive field of the complete
    length, and `flops` if a size is unknown. `algorithms` are the algorithms of the node's convolutions, `"?"` if they
    depend on an unknown size, and None if they were not requested.
    """

    name: str
    layer: str
    inputs: tuple[str, ...]
    output: Any
    params: int | None
    sees: int | None
    flops: int | None
    algorithms: tuple[str, ...] | None = None


class Totals(NamedTuple):
    """Elements of the trained arrays and of the state, and FLOPs for one example, None if a size is unknown."""

    trained: int
    state: int
    flops: int | None


def rows_and_totals(
    graph: LayerGraph,
    params: Mapping[str, Any],
    state: Mapping[str, Any],
    shapes: Mapping[str, Any],
    batch: int | None,
) -> tuple[list[SummaryRow], Totals]:
    """The rows, with algorithms if a `batch` is given, and the totals.

    `params` and `state` have arrays or `jax.ShapeDtypeStruct`, and `shapes` the shapes of all inputs and nodes.
    """
    fields = receptive_fields(graph)
    rows: list[SummaryRow] = []
    keys: set[str] = set()
    for node in graph.nodes:
        arrays = params.get(node.key, {}), state.get(node.key, {})
        input_shape = node.select(shapes)
        rows.append(
            SummaryRow(
                node.name,
                str(node.layer),
                node.inputs,
                shapes[node.name],
                None if node.key in keys else _count_elements(arrays),
                fields[node.name],
                None if _has_unknown(input_shape) else node.layer.flops(input_shape),
                None if batch is None else _algorithms(node, arrays, input_shape, batch),
            )
        )
        keys.add(node.key)
    flops = [row.flops for row in rows if row.flops is not None]
    total = sum(flops) if len(flops) == len(rows) else None
    return rows, Totals(_count_elements(params), _count_elements(state), total)


def summary(
    graph: LayerGraph,
    params: Mapping[str, Any],
    state: Mapping[str, Any],
    shapes: Mapping[str, Any],
    *,
    batch: int | None,
    width: int | None,
) -> str:
    """The table as text; see `Model.summary` and `rows_and_totals`."""
    rows, totals = rows_and_totals(graph, params, state, shapes, batch)
    cells = [(name, "input", "", str(shapes[name]), "", "", "") for name in graph.inputs]
    cells += [
        (
            row.name,
            row.layer,
            "" if row.inputs == (above,) else ", ".join(row.inputs),
            str(row.output),
            "shared" if row.params is None else f"{row.params:,}",
            "all" if row.sees is None else f"{row.sees:,}",
            _format(row.flops),
        )
        for row, above in zip(rows, [graph.inputs[-1], *(row.name for row in rows)], strict=False)
    ]
    heads = HEADS
    if batch is not None:
        heads = (*HEADS, ALGORITHM)
        algorithms = [""] * len(graph.inputs) + [", ".join(row.algorithms or ()) for row in rows]
        cells = [(*cell, algorithm) for cell, algorithm in zip(cells, algorithms, strict=True)]
    return "\n".join(
        [
            *table(heads, cells, right=RIGHT, width=width),
            f"params {totals.trained + totals.state:,} ({totals.trained:,} trained, {totals.state:,} state)",
            f"FLOPs {_format(totals.flops)} for one example",
            *([f"outputs {', '.join(graph.outputs)}"] if len(graph.outputs) > 1 else []),
        ]
    )


def receptive_fields(graph: LayerGraph) -> dict[str, int | None]:
    """For each node, the input samples that one output sample depends on along the longest path; None for all.

    >>> from jconv.layers import Conv1D, Conv1DTranspose
    >>> from jconv.model import sequential
    >>> receptive_fields(sequential([Conv1D(1, 3, stride=2), Conv1D(1, 3), Conv1DTranspose(1, 4, stride=2)]))
    {'conv1d': 3, 'conv1d_1': 7, 'conv1d_transpose': 9}
    """
    graph = length_first(graph).graph
    return {node.name: _receptive_field(graph, last) for last, node in enumerate(graph.nodes)}


def _receptive_field(graph: LayerGraph, last: int) -> int | None:
    # Backwards from one output sample, because a transposed convolution rounds the number of samples down.
    needed = {graph.nodes[last].name: 1}
    for node in reversed(graph.nodes[: last + 1]):
        if node.name not in needed:
            continue
        window = node.layer.window()
        if window is None:
            return None
        reach, stride = window
        samples = math.floor((needed[node.name] - 1) * stride + reach)
        needed |= {name: max(samples, needed.get(name, 1)) for name in node.inputs}
    return max(needed.get(name, 1) for name in graph.inputs)


def _algorithms(node: Node, arrays: Any, input_shape: Any, batch: int) -> tuple[str, ...]:
    """The algorithms of the node's convolutions."""
    x = map_shapes(lambda shape: _placeholder(batch, shape), input_shape)
    unknown = _has_unknown(input_shape)
    try:
        # A layer that is always in training needs a key; which one does not matter.
        choices = chosen_algorithms(
            lambda params, state, x: node.layer.apply(params, state, x, key=jax.random.key(0))[0], *arrays, x
        )
    except ValueError:
        # The layer may not accept the placeholder for a length.
        if unknown:
            return ()
        raise
    return tuple(dict.fromkeys(UNKNOWN if unknown else choice.algorithm for _, choice in choices))


def _placeholder(batch: int, shape: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((batch, *(PLACEHOLDER_SIZE if size is None else size for size in shape)), jnp.float32)


def _has_unknown(shapes: Any) -> bool:
    """Whether a size of a shape, or of one of several shapes, is None."""
    return any(size is None or (isinstance(size, (tuple, list)) and _has_unknown(size)) for size in shapes)


def _count_elements(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _format(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"
