"""`jconv summary|verify|run|export FILE`: a Keras file from the command line."""

from .main import main

__all__ = ["main"]
