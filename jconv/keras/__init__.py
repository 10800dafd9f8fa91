"""Keras models in and out, with no Keras installed; names handed on, nothing defined."""

from .files.errors import KerasFileError, NotCompiledError
from .load import load, load_weights
from .save import save
from .training.load import load_training
from .training.state import Training

__all__ = [
    "KerasFileError",
    "NotCompiledError",
    "Training",
    "load",
    "load_training",
    "load_weights",
    "save",
]
