"""Keras models in and out, with no Keras installed; names handed on, nothing defined."""

from .errors import KerasFileError, NotCompiledError
from .load import load, load_weights
from .load_training import load_training
from .save import save
from .training import Training

__all__ = [
    "KerasFileError",
    "NotCompiledError",
    "Training",
    "load",
    "load_training",
    "load_weights",
    "save",
]
