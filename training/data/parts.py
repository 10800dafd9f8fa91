"""What every reader of a file returns: series and their labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Part(NamedTuple):
    """Series as they are in a file: `x` (n, length, channels) float64, NaN behind shorter ones, and labels as text.

    Where each sample has a label, `labels` are the distinct ones, and `of_samples` (n, length) their indices, -1 behind
    shorter series. `notes` say, a line each, what the reader decided that the file leaves open.
    """

    x: Array
    labels: list[str]
    of_samples: Array | None = None
    notes: tuple[str, ...] = ()


def plain(label: Any) -> str:
    """A label as text; a whole number without its fraction, since archives write class 1 as 1, 1.0 or 1.0e+00.

    >>> plain(1.0), plain("1.0e+00"), plain("1.5"), plain("up")
    ('1', '1', '1.5', 'up')
    """
    text = str(label)
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text
