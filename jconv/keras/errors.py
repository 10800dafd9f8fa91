"""What goes wrong with a Keras file, said in one line."""

from __future__ import annotations


class KerasFileError(ValueError):
    """A file, or a part of one, that cannot be read or written: what, where in the file, and what would be right."""


class NotCompiledError(KerasFileError):
    """A file of a model that was never compiled, so that it has no optimizer and no loss to go on with."""
