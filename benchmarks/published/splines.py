"""B-splines of uniform knots, as in MMSplice. This module imports only NumPy, for Python environments without jconv."""

from __future__ import annotations

from typing import Any

import numpy as np


def spline_basis(length: int, count: int, degree: int) -> np.ndarray[Any, Any]:
    """The values (length, count) of `count` B-splines at the positions 0 to `length - 1`, where their sum is 1.

    >>> spline_basis(5, 6, 3).sum(axis=1).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    # The covered interval is a thousandth longer at both ends.
    low, high = -0.001 * (length - 1), 1.001 * (length - 1)
    margin = degree * (high - low) / (count - degree)
    knots = np.linspace(low - margin, high + margin, count + degree + 1).astype("float32").astype("float64")
    at = np.arange(length)[:, None]
    basis = ((knots[:-1] <= at) & (at < knots[1:])).astype("float64")
    for d in range(1, degree + 1):
        rising = (at - knots[: -d - 1]) / (knots[d:-1] - knots[: -d - 1])
        falling = (knots[d + 1 :] - at) / (knots[d + 1 :] - knots[1:-d])
        basis = rising * basis[:, :-1] + falling * basis[:, 1:]
    return basis
