"""Keras operations as layers."""

from .operation import Operation

__all__ = [
    "Operation",
]
