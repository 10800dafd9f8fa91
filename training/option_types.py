"""The numbers that options take: each a function of the text, whose refusal is one line, for argparse."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


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
        # The seed and the counts are 32-bit numbers in JAX.
        if not least <= value < 2**31:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
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


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
