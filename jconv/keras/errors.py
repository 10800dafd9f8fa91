"""What goes wrong with a Keras file, said in one line."""

from __future__ import annotations

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
