"""Keras models in and out, with no Keras installed; names handed on, nothing defined."""

from .errors import KerasFileError
from .load import load
from .save import save

__all__ = ["KerasFileError", "load", "save"]
