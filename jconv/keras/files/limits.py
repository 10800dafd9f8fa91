"""Limits on memory and time: what a file declares is checked before it is allocated or followed."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import KerasFileError

MEBIBYTE = 2**20

# The configs of the largest networks in Keras's applications have less than a megabyte, and a few hundred thousand
# values at about a hundred per layer.
MAX_CONFIG_BYTES = 32 * MEBIBYTE
MAX_CONFIG_VALUES = 2_000_000
# A model inside a model adds about ten levels of dicts and lists.
MAX_CONFIG_DEPTH = 200
# Layers and calls of layers, with models inside models expanded; the largest networks have about a thousand of each.
MAX_CALLS = 20_000
# Arrays in a file, members of an archive, names in a list.
MAX_ITEMS = 100_000
# The characters of a name. The name of a layer begins with the names of the models around it.
MAX_NAME = 1024
# The maximum compression factor of deflate, according to the documentation of zlib.
MAX_COMPRESSION = 1032
# Everything in an HDF5 file except the arrays; in the largest networks about two megabytes.
MAX_METADATA_BYTES = 32 * MEBIBYTE
# NumPy has the same limit.
MAX_AXES = 64


@dataclass
class Budget:
    """How many bytes the arrays of a file may declare in total.

    >>> budget = Budget(1000)
    >>> budget.spend(600, "a")
    >>> budget.spend(600, "b")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: b declares 600 bytes, with which the file would need 1,200 bytes; the ...
    """

    limit: int
    spent: int = 0

    def spend(self, size: int, what: str) -> None:
        """Count `size` bytes. Raises `KerasFileError`, naming `what`, if the total exceeds the limit."""
        self.spent += size
        if self.spent > self.limit:
            raise KerasFileError(
                f"{what} declares {size:,} bytes, with which the file would need {self.spent:,} bytes; the limit is "
                f"{self.limit:,} and can be raised with max_bytes"
            )


@dataclass
class CallCount:
    """How many layers and calls of layers a config has, and how many of its values are read again for a call.

    Models that are called twice inside each other double the count each time, so a small config can have any number.

    >>> CallCount(MAX_CALLS).add("layer 'a'", "a")
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: layer 'a': the model has more than 20,000 layers and calls of layers
    """

    count: int = 0
    values: int = 0

    def add(self, place: str, name: str, count: int = 1) -> None:
        """Count a layer that has a `name` and contains `count` layers.

        Raises `KerasFileError` at `place` if there are too many, and for a long name.
        """
        self.count += count
        if self.count > MAX_CALLS:
            raise KerasFileError(f"{place}: the model has more than {MAX_CALLS:,} layers and calls of layers")
        if len(name) > MAX_NAME:
            raise KerasFileError(
                f"{place}: the name, with the names of the models around it, has {len(name):,} characters; the limit "
                f"is {MAX_NAME:,}"
            )

    def add_values(self, count: int, place: str) -> None:
        """Count the values of a nested model's config that is read again. Raises `KerasFileError` for too many."""
        self.values += count
        if self.values > MAX_CONFIG_VALUES:
            raise KerasFileError(f"{place}: the calls of nested models have more than {MAX_CONFIG_VALUES:,} values")


def check_compression(declared: int, stored: int, what: str) -> None:
    """Raise `KerasFileError` if `stored` bytes cannot expand to `declared` bytes."""
    # Small arrays may be stored as one repeated value.
    if declared > MEBIBYTE and declared > MAX_COMPRESSION * max(stored, 1):
        raise KerasFileError(
            f"{what} declares {declared:,} bytes but stores {stored:,}; no compression of Keras reaches that ratio"
        )
