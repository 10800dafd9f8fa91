"""A network's nodes, as they are added one by one."""

from __future__ import annotations

from collections.abc import Sequence

from jconv import Model, Node
from jconv.layers import Layer


class Graph:
    """Nodes by name, of one input `"x"`.

    >>> from jconv.layers import Add, Conv1D
    >>> graph = Graph()
    >>> y = graph.chain("block", [Conv1D(4, 3, padding="same"), Conv1D(1, 1)], "x")
    >>> graph.model(graph.add("sum", Add(), y, "x")).output_shapes((9, 1))
    {'block.0': (9, 4), 'block.1': (9, 1), 'sum': (9, 1)}
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, name: str, layer: Layer, *inputs: str) -> str:
        """A layer that reads `inputs`; returns its name."""
        self.nodes.append(Node(name, layer, inputs))
        return name

    def chain(self, name: str, layers: Sequence[Layer], at: str) -> str:
        """Layers one after the other, from `at` on, named `name.0`, `name.1`; returns the last one's name."""
        for number, layer in enumerate(layers):
            at = self.add(f"{name}.{number}", layer, at)
        return at

    def model(self, output: str) -> Model:
        """The network whose output is that node's."""
        return Model(tuple(self.nodes), ("x",), (output,))
