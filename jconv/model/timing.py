"""The rate and latency of a network's outputs in a stream, as exact fractions from the timing of its layers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from ..layers.base import name_node_in_errors
from ..layers.shape import Pick
from ..streaming.timing import IMMEDIATE, OutputTiming
from .channels_first import length_first
from .nodes import LayerGraph, Node

Timings = dict[str, Any]
"""For each input and node an `OutputTiming`, None for a value without a length, or a tuple for several outputs."""


def node_timings(graph: LayerGraph) -> Timings:
    """Each node's timing relative to its own inputs.

    Raises `ValueError`, with the node's name, for a layer that cannot be streamed.
    """
    timings: Timings = dict.fromkeys(graph.inputs, IMMEDIATE)
    for node in graph.nodes:
        with name_node_in_errors(node.name):
            timings[node.name] = _node_timing(node, [timings[name] for name in node.inputs])
    return timings


def _node_timing(node: Node, inputs: list[Any]) -> Any:
    if all(timing is None for timing in inputs):
        return None
    if isinstance(node.layer, Pick):
        return inputs[0][node.layer.index]
    if None in inputs:
        raise ValueError(
            f"{node.layer} cannot be computed a chunk at a time: it reads a sequence and a value without a length"
        )
    return node.layer.output_timing()


def ratios(graph: LayerGraph) -> dict[str, Fraction | None]:
    """Samples of each node's output per sample of the model's inputs; None for a value without a length.

    Raises `ValueError` for a node that reads sequences with different ratios.
    """
    graph = length_first(graph).graph
    timings = node_timings(graph)
    result: dict[str, Fraction | None] = {name: Fraction(1) for name in graph.inputs}
    for node in graph.nodes:
        inputs = {ratio for ratio in (result[name] for name in node.inputs) if ratio is not None}
        if len(inputs) > 1:
            raise ValueError(
                f"node {node.name!r}: its inputs must have the same rate, got {', '.join(map(str, sorted(inputs)))} "
                "samples per sample of the model's inputs"
            )
        timing = timings[node.name]
        first = timing[0] if isinstance(timing, tuple) else timing
        own = 1 if isinstance(node.layer, Pick) or first is None else first.ratio
        result[node.name] = None if not inputs or first is None else inputs.pop() * own
    return result


def latency(graph: LayerGraph) -> Fraction:
    """The largest delay of an output of the network in samples of its inputs."""
    graph = length_first(graph).graph
    timings, rates = node_timings(graph), ratios(graph)
    # A value without a length is as late as the sequences that it summarizes.
    sequences_of = {name: {name: rate} for name, rate in rates.items() if rate is not None}
    for node in graph.nodes:
        sequences_of.setdefault(node.name, dict(pair for name in node.inputs for pair in sequences_of[name].items()))
    sequences = dict(pair for name in graph.outputs for pair in sequences_of[name].items())
    delays = []
    for name, ratio in sequences.items():
        # After this number of outputs, every layer is in the same phase again.
        period = math.lcm(*((rate / ratio).denominator for rate in rates.values() if rate is not None))
        delays += [_last_input(graph, timings, name, i) - i / ratio for i in range(period)]
    return max(delays)


def _last_input(graph: LayerGraph, timings: Timings, name: str, output: int) -> int:
    """The index of the last input sample that sample `output` of a node waits for."""
    needed = {name: output}
    for node in reversed(graph.nodes):
        if node.name not in needed:
            continue
        timing, last = timings[node.name], needed[node.name]
        if isinstance(timing, OutputTiming) and not isinstance(node.layer, Pick):
            last = timing.last_input(last)
        needed |= {source: max(last, needed.get(source, last)) for source in node.inputs}
    return max(needed[source] for source in graph.inputs if source in needed)
