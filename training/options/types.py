"""Converters of option values for argparse, with errors of one line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

from ..data import augment
from ..data.splits import fold_numbers

LARGEST = 2**31 - 1
"""The largest seed and the largest count: integers have 32 bits in JAX."""


class Every(NamedTuple):
    """An interval in epochs, or in seconds, which ends with the epoch."""

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
    """A number between zero and one, exclusive."""
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
    """The number of a fold and the number of folds, as in 2/5."""
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
    """A number of epochs or, followed by s, of seconds."""
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
