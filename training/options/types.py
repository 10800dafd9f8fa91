"""Converters of option values for argparse."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..data import augment
from ..data.splits import fold_numbers

LARGEST = 2**31 - 1
"""The largest seed and the largest count: integers have 32 bits in JAX."""


class Interval(NamedTuple):
    """An interval in epochs or in seconds."""

    epochs: int | None = None
    seconds: float | None = None


def whole(least: int) -> Callable[[str], int]:
    """A converter to integers of at least `least`.

    >>> whole(1)("3")
    3
    """

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        if value > LARGEST:
            raise argparse.ArgumentTypeError(f"must be at most {LARGEST}, a 32-bit number in JAX, got {text!r}")
        return value

    return convert


def _number(kind: str, is_valid: Callable[[float], bool]) -> Callable[[str], float]:
    """A converter to numbers for which `is_valid` is true; `kind` describes them in errors."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not is_valid(value):
            raise argparse.ArgumentTypeError(f"must be {kind}, got {text!r}")
        return value

    return convert


share = _number("a share between zero and one", lambda value: 0 < value < 1)
positive = _number("a number above zero", lambda value: 0 < value < math.inf)
not_negative = _number("a number of at least zero", lambda value: 0 <= value < math.inf)


def _text(parse: Callable[[str], Any]) -> Callable[[str], str]:
    """A converter that returns the text if `parse` accepts it."""

    def convert(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return text

    return convert


augmentation = _text(augment.parse)
fold = _text(fold_numbers)


def channel(text: str) -> str:
    """The number of a channel, from 1, or "all"."""
    if text != "all" and not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"must be the number of a channel, from 1, or all, got {text!r}")
    return text


def every(text: str) -> Interval:
    """A number of epochs, or of seconds as in 60s."""
    in_seconds = text.endswith("s")
    try:
        number = float(text[:-1]) if in_seconds else int(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be a number of epochs above zero, or of seconds as in 60s, got {text!r}"
        )
    return Interval(seconds=number) if in_seconds else Interval(epochs=int(number))


def address(text: str) -> str:
    """The address HOST:PORT of a process."""
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 2**16):
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, as 10.0.0.1:4321, got {text!r}")
    return text
