"""A graph of layers as data."""

from .graph import Model
from .nodes import Node
from .sequential import sequential

__all__ = [
    "Model",
    "Node",
    "sequential",
]
