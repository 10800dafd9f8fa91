"""What options take: each a function of the text, whose refusal is one line, for argparse."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

from ..data import augment
from ..data.splits import fold_numbers

LARGEST = 2**31 - 1
"""What the seed and the counts can be, 32-bit numbers in JAX."""


class Every(NamedTuple):
    """How often: after this many epochs, or at the end of the epoch when this many seconds have gone by."""

    epochs: int | None = None
    seconds: float | None = None


def whole(least: int) -> Callable[[str], int]:
    """Whole numbers of at least `least`.

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


def share(text: str) -> float:
    """A number between zero and one, neither of them."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a share between zero and one, got {text!r}")
    return value


def positive(text: str) -> float:
    """A number above zero."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above zero, got {text!r}")
    return value


def not_negative(text: str) -> float:
    """A number of at least zero."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least zero, got {text!r}")
    return value


def augmentation(text: str) -> str:
    """Augmentations and their strengths, as `augment.parse` reads them."""
    try:
        augment.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def fold(text: str) -> str:
    """A fold and their number, as in 2/5."""
    try:
        fold_numbers(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def channel(text: str) -> str:
    """The number of a channel, from 1, or all."""
    if text != "all" and not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"must be the number of a channel, from 1, or all, got {text!r}")
    return text


def every(text: str) -> Every:
    """A number of epochs or, with an s behind it, of seconds."""
    try:
        found = Every(seconds=float(text[:-1])) if text.endswith("s") else Every(epochs=int(text))
    except ValueError:
        found = Every(0)
    number = found.epochs if found.seconds is None else found.seconds
    if number is None or not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be a number of epochs above zero, or of seconds as in 60s, got {text!r}"
        )
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
