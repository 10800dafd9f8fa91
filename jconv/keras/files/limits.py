"""How much a file may ask for before anything is read: the bounds on memory and time, in one place.

Sizes that a file declares are checked before they are allocated, and nesting before it is followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import KerasFileError

MEBIBYTE = 2**20

# The text that describes a model: the largest networks in Keras's own applications have under a megabyte.
CONFIG_BYTES = 32 * MEBIBYTE
# Numbers, strings, lists and objects in it: a layer has about a hundred.
CONFIG_VALUES = 2_000_000
# Levels of dicts and lists in it: a layer in a model in a model has about ten a model.
CONFIG_DEPTH = 200
# Layers and calls of layers that a config comes to, models in models written out: the largest networks in Keras's own
# applications have about a thousand of each.
MOST_CALLS = 20_000
# Arrays in a file, members of an archive, names in a list.
MOST_PARTS = 100_000
# Deflate cannot shrink data further than this (the zlib documentation, "Maximum Compression Factor": 1032 to 1); what
# declares more of what it stores is not what it says.
EXPANSION = 1032
# What an HDF5 file has besides its arrays: names, addresses, sizes, and a config. The largest networks in Keras's own
# applications have about two megabytes of it.
STRUCTURE_BYTES = 32 * MEBIBYTE
# Axes of an array: NumPy 2 has no more.
MOST_AXES = 64


@dataclass
class Budget:
    """How many bytes of arrays a file may still declare; `limit` is what the caller allows in all.

    >>> budget = Budget(1000)
    >>> budget.spend(600, "a")
    >>> budget.spend(600, "b")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: b declares 600 bytes, with which the file would need 1,200 bytes; the ...
    """

    limit: int
    spent: int = field(default=0)

    def spend(self, size: int, what: str) -> None:
        """Count `size` bytes; raises `KerasFileError` naming `what` where the limit is passed."""
        self.spent += size
        if self.spent > self.limit:
            raise KerasFileError(
                f"{what} declares {size:,} bytes, with which the file would need {self.spent:,} bytes; the limit is "
                f"{self.limit:,} and can be raised with max_bytes"
            )


@dataclass
class Tally:
    """How many layers and calls a config has come to; a few models, each called twice in the next, come to any number.

    >>> Tally(MOST_CALLS).add("layer 'a'")
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: layer 'a': the model comes to more than 20,000 layers and calls of layers
    """

    count: int = field(default=0)

    def add(self, place: str) -> None:
        """Count one more; raises `KerasFileError` at `place` where they are too many."""
        self.count += 1
        if self.count > MOST_CALLS:
            raise KerasFileError(f"{place}: the model comes to more than {MOST_CALLS:,} layers and calls of layers")


def check_expansion(declared: int, stored: int, what: str) -> None:
    """Raise `KerasFileError` where `declared` bytes cannot come from `stored` ones."""
    # Small arrays may be stored as one repeated value.
    if declared > MEBIBYTE and declared > EXPANSION * max(stored, 1):
        raise KerasFileError(f"{what} declares {declared:,} bytes but stores {stored:,}: more than any real file does")
