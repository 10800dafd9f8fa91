"""What goes wrong with a Keras file, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 1000


class KerasFileError(ValueError):
    """A file, or a part of one, that cannot be read or written: what, where in the file, and what would be right.

    Messages quote what stands in the file; here they become one line of printable characters and no long text.

    >>> str(KerasFileError("no layer 'a\\nb'"))
    "no layer 'a\\\\nb'"
    """

    def __init__(self, message: str) -> None:
        if len(message) > LONGEST:
            message = f"{message[: LONGEST - 300]} ... {message[-290:]}"
        if not message.isprintable():
            message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        super().__init__(message)


class NotCompiledError(KerasFileError):
    """A file of a model that was never compiled, so that it has no optimizer and no loss to go on with."""


@contextmanager
def spoken_at(place: str, prefix: str = "") -> Iterator[None]:
    """Make what is raised within a `KerasFileError` with the place before it, and without the `prefix`.

    Layers raise `ValueError` for what a user may get wrong. A file may also hold what no user would write, and what is
    then raised, by a layer, by NumPy or by JAX, is of any class.

    >>> with spoken_at("config.layers[3]"):
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
    except Exception as error:  # of any class, as the file may hold anything
        raise KerasFileError(f"{place}: {type(error).__name__}: {error}") from None
