"""When the outputs of a network's stream are there, from the paces of its layers: exact fractions, and no arrays."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from ..layers.base import name_node_in_errors
from ..layers.pick import Pick
from ..streaming.timing import SAMPLE, Pace
from .channels_first import length_first
from .nodes import LayerGraph, Node

Paces = dict[str, Any]


def paces(model: LayerGraph) -> Paces:
    """For each input and node, its layer's pace; None for a value so far, a tuple for several outputs.

    Raises `ValueError`, naming the node, for one that cannot be computed a chunk at a time.
    """
    found: Paces = dict.fromkeys(model.inputs, SAMPLE)
    for node in model.nodes:
        with name_node_in_errors(node.name):
            found[node.name] = _pace(node, [found[name] for name in node.inputs])
    return found


def _pace(node: Node, read: list[Any]) -> Any:
    if isinstance(node.layer, Pick):
        return read[0][node.layer.index]
    timed = [pace is not None for pace in read]
    if not any(timed):
        # Of values so far any layer gives one.
        return None
    if not all(timed):
        raise ValueError(
            f"{node.layer} cannot be computed a chunk at a time: it reads a sequence beside a value of all samples"
        )
    return node.layer.pace()


def ratios(model: LayerGraph) -> dict[str, Fraction | None]:
    """Samples of each node's output for each sample of the inputs; None for values so far.

    Raises `ValueError` where a node reads sequences of different ratios.
    """
    model = length_first(model).model
    known = paces(model)
    found: dict[str, Fraction | None] = {name: Fraction(1) for name in model.inputs}
    for node in model.nodes:
        read = {ratio for ratio in (found[name] for name in node.inputs) if ratio is not None}
        if len(read) > 1:
            raise ValueError(
                f"node {node.name!r}: its inputs have {', '.join(map(str, sorted(read)))} samples for one of the model"
            )
        pace = known[node.name]
        first = pace[0] if isinstance(pace, tuple) else pace
        own = 1 if isinstance(node.layer, Pick) or first is None else first.ratio
        found[node.name] = None if not read or (first is None) else read.pop() * own
    return found


def latency(model: LayerGraph) -> Fraction:
    """How far the outputs trail behind, in samples of the inputs: the most of all outputs, exactly."""
    model = length_first(model).model
    known, rates = paces(model), ratios(model)
    # A value so far trails as the sequences do that it is made of.
    made_of = {name: {name: rate} for name, rate in rates.items() if rate is not None}
    for node in model.nodes:
        made_of.setdefault(node.name, dict(pair for name in node.inputs for pair in made_of[name].items()))
    sequences = dict(pair for name in model.outputs for pair in made_of[name].items())
    found = []
    for name, ratio in sequences.items():
        # So many outputs later every layer is again as far between two samples as it was.
        period = math.lcm(*((rate / ratio).denominator for rate in rates.values() if rate is not None))
        found += [_needed(model, known, name, i) - i / ratio for i in range(period)]
    return max(found)


def _needed(model: LayerGraph, known: Paces, name: str, output: int) -> int:
    """The number of the last input sample that sample `output` of a node needs."""
    needed = {name: output}
    for node in reversed(model.nodes):
        if node.name not in needed:
            continue
        pace = known[node.name]
        read = (
            pace.needs(needed[node.name])
            if isinstance(pace, Pace) and not isinstance(node.layer, Pick)
            else needed[node.name]
        )
        needed |= {source: max(read, needed.get(source, read)) for source in node.inputs}
    return max(needed[source] for source in model.inputs if source in needed)
