"""Helpers to build networks."""

from __future__ import annotations

from collections.abc import Sequence

from jconv import Model, Node
from jconv.layers import Activation, BatchNormalization, Conv1D, Dense, GlobalAveragePooling1D, Layer


class ModelBuilder:
    """Collects the nodes of a model with one input, `"x"`.

    >>> from jconv.layers import Add
    >>> builder = ModelBuilder()
    >>> y = builder.chain("block", [Conv1D(4, 3, padding="same"), Conv1D(1, 1)], "x")
    >>> builder.build(builder.add("sum", Add(), y, "x")).output_shapes((9, 1))
    {'block.0': (9, 4), 'block.1': (9, 1), 'sum': (9, 1)}
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, name: str, layer: Layer, *inputs: str) -> str:
        """Add a layer that reads the nodes `inputs`; returns its name."""
        self.nodes.append(Node(name, layer, inputs))
        return name

    def chain(self, name: str, layers: Sequence[Layer], at: str) -> str:
        """Add layers in sequence after the node `at`, named `name.0`, `name.1` and so on; returns the last name."""
        for number, layer in enumerate(layers):
            at = self.add(f"{name}.{number}", layer, at)
        return at

    def build(self, output: str) -> Model:
        """The model whose output is the node of that name."""
        return Model(tuple(self.nodes), ("x",), (output,))

    def build_classifier(self, at: str, outputs: int) -> Model:
        """The model that ends in the mean over time of the node `at` and a dense layer."""
        return self.build(self.chain("head", [GlobalAveragePooling1D(), Dense(outputs)], at))


def conv_block(filters: int, kernel_size: int) -> list[Layer]:
    """A convolution, batch normalization and relu."""
    return [Conv1D(filters, kernel_size, padding="same"), BatchNormalization(), Activation("relu")]
