"""Keras models in and out, with no Keras installed; names handed on, nothing defined."""

from .errors import KerasFileError
from .load import load, load_weights
from .save import save

__all__ = ["KerasFileError", "load", "load_weights", "save"]
