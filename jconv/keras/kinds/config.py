"""A piece of a file's config with its place, so that whatever is wrong with it can be found.

A config is what a JSON text holds: dicts, lists, strings, numbers, true, false and null, never trusted. `Config` hands
out one value at a time, of the type asked for, and remembers which were asked for: one that nobody asked for is an
option of a layer that would otherwise be passed over in silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..files.errors import KerasFileError


@dataclass(frozen=True)
class Config:
    """The dict `values` that was found at `place`, such as `"layer 'conv1d' (Conv1D) at config.layers[3]"`.

    >>> config = Config({"units": 3}, "layer 'dense' (Dense)")
    >>> config.get("units", integer), config.get("use_bias", flag, True)
    (3, True)
    >>> config.get("units", flag)
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: layer 'dense' (Dense): units must be true or false, got 3
    """

    values: Mapping[str, Any]
    place: str
    _asked: set[str] = field(default_factory=set, compare=False, repr=False)

    def get(self, key: str, read: Callable[[Any], Any], *default: Any) -> Any:
        """`read` of the value of `key`; the `default`, as it is, where the key is missing.

        Raises `KerasFileError`, with the place and the key, where the key is missing with no default and where `read`
        raises `ValueError` with what the value must be.
        """
        self._asked.add(key)
        if key not in self.values:
            if default:
                return default[0]
            self.fail(f"{key} is missing")
        value = self.values[key]
        try:
            return read(value)
        except KerasFileError:
            raise
        except ValueError as error:
            self.fail(f"{key} {error}, got {shortened(value)}")

    def has(self, key: str) -> bool:
        """Whether there is a value for `key` and it is not null."""
        return self.values.get(key) is not None

    def unasked(self) -> list[str]:
        """The keys that nobody has asked for."""
        return [key for key in self.values if key not in self._asked]

    def fail(self, message: str) -> NoReturn:
        """Raise `KerasFileError` with the place before the message."""
        raise KerasFileError(f"{self.place}: {message}")


def shortened(value: Any, most: int = 80) -> str:
    """A value for a message: no longer than `most` characters, on one line."""
    text = ascii(value) if not isinstance(value, (dict, list)) or len(value) < 20 else f"{type(value).__name__}..."
    return text if len(text) <= most else text[: most - 3] + "..."


def integer(value: Any) -> int:
    """An integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be an integer")
    return value


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a finite number")
    # A whole number of more than 32 bits is no operand of JAX's.
    return value if abs(value) < 2**31 else float(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def single(value: Any) -> int:
    """An integer, or the one integer of a list, as Keras writes sizes of one dimension."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return integer(value)


def integers(value: Any) -> tuple[int, ...]:
    """A tuple of integers from a list of them."""
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of integers")
    return tuple(integer(v) for v in value)


def as_list(value: Any) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise ValueError("must be a list")
    return value


def as_dict(value: Any) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    return value


def optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """As `read`, but null is None."""
    return lambda value: None if value is None else read(value)


def one_of(*allowed: str) -> Callable[[Any], str]:
    """One of the strings `allowed`."""

    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return read
