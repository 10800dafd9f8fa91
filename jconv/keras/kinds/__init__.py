"""The table of Keras's classes: how each config becomes a layer of jconv and back."""

from .table import KINDS, kind_of

__all__ = ["KINDS", "kind_of"]
