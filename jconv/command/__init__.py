"""The command `jconv`."""

from .main import main

__all__ = ["main"]
