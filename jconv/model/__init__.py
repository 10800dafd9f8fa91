"""A graph of layers as data."""

from .graph import Model, Node, sequential

__all__ = [
    "Model",
    "Node",
    "sequential",
]
