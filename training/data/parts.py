"""The series and labels that every reader of a file returns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array

NUMBER = re.compile(r"[+-]?([0-9]{1,300}\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)


class DataPart(NamedTuple):
    """The training or the test part of a data set, as it is in a file.

    `x` are series (n, length, channels) float64, with NaN after the end of shorter ones, `labels` their labels as text.
    If each sample has a label, `labels` are the distinct ones, and `sample_labels` (n, length) are indices into them,
    -1 after the end of shorter series. `notes` are lines about what the reader had to guess.
    """

    x: Array
    labels: list[str]
    sample_labels: Array | None = None
    notes: tuple[str, ...] = ()


def pad_series(series: Sequence[Array], fill: float = np.nan) -> Array:
    """Series (length, channels) as an array (n, longest, channels), with `fill` after the end of shorter ones.

    >>> pad_series([np.ones((3, 1)), np.zeros((2, 1))])[:, :, 0].tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, nan]]
    """
    x = np.full((len(series), max(map(len, series)), series[0].shape[1]), fill)
    for row, one in zip(x, series, strict=True):
        row[: len(one)] = one
    return x


def label_text(label: Any) -> str:
    """A label as text. Whole numbers have one form, since archives write class 1 as 1, 1.0 or 1.0e+00.

    >>> label_text(1.0), label_text("1.0e+00"), label_text("1.5"), label_text("1_2")
    ('1', '1', '1.5', '1_2')
    """
    text = str(label)
    if not is_number(text):
        return text
    # Exact: floats merge integers above 2 ** 53.
    number = Decimal(text)
    return str(int(number)) if number == number.to_integral_value() else text


def is_number(label: str) -> bool:
    """Whether a label is a number. Python's `float` also accepts text such as 1_2 and nan."""
    return NUMBER.fullmatch(label) is not None
