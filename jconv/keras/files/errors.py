"""Errors about Keras files, each with a message of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MAX_LENGTH = 1000


class KerasFileError(ValueError):
    """A file, or a part of it, cannot be read or written; the message says where, what was found and what is accepted.

    Messages quote the file. To keep them on one line, unprintable characters are escaped and long messages shortened.

    >>> str(KerasFileError("no layer 'a\\nb'"))
    "no layer 'a\\\\nb'"
    """

    def __init__(self, message: str) -> None:
        if len(message) > MAX_LENGTH:
            message = f"{message[: MAX_LENGTH - 300]} ... {message[-290:]}"
        if not message.isprintable():
            message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        super().__init__(message)


class NotCompiledError(KerasFileError):
    """The model in the file was not compiled: it has no optimizer and no loss."""


@contextmanager
def error_context(place: str, prefix: str = "") -> Iterator[None]:
    """Raise any exception from the `with` block as a `KerasFileError`, with `place` before its message.

    A `prefix` of the message is removed. Layers raise `ValueError` for wrong options, but a file may contain anything,
    so that layers, NumPy and JAX may raise exceptions of other classes too.

    >>> with error_context("config.layers[3]"):
    ...     range(3).index(4)
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: config.layers[3]: 4 is not in range
    """
    try:
        yield
    except KerasFileError:
        raise
    except ValueError as error:
        raise KerasFileError(f"{place}: {str(error).removeprefix(prefix)}") from None
    except Exception as error:
        # Perhaps an error in jconv: its cause is kept.
        raise KerasFileError(f"{place}: {type(error).__name__}: {error}") from error
