"""Layers of Keras models that contain a graph of layers: a nested model, and keras-tcn's `TCN`."""

from .nested_model import NestedModel
from .tcn import TCN

__all__ = ["TCN", "NestedModel"]
