"""Comparison of results."""

from __future__ import annotations

from typing import Any

import numpy as np


def deviation(actual: Any, expected: Any) -> float:
    """The largest difference, relative to the largest absolute value of `expected`; NaN if a value is NaN.

    >>> deviation([1.0, 3.0], [1.0, 4.0])
    0.25
    """
    expected = np.asarray(expected)
    return float(np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max())
