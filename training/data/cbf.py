"""Cylinder, bell and funnel: the series that the archive's CBF is drawn from, by their formula."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CLASSES = ("cylinder", "bell", "funnel")
LENGTH = 128


def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """So many series, (count, 128) float64, and the numbers of their classes (count,), as many of each as can be.

    With a whole from 16 to 32, b - a whole from 32 to 96, and h and every e(t) of a standard normal distribution, the
    sample at t = 1 to 128 is e(t) plus, for a <= t <= b, 6 + h times 1 (cylinder), (t - a) / (b - a) (bell) or
    (b - t) / (b - a) (funnel). Each series is then moved to mean 0 and scaled to deviation 1, as the archive's are.
    (Saito, Local Feature Extraction and Its Applications Using a Library of Bases, Yale 1994.)

    >>> x, y = draw(np.random.default_rng(0), 30)
    >>> x.shape, np.bincount(y).tolist()
    ((30, 128), [10, 10, 10])
    """
    kinds = rng.permutation(np.arange(count) % len(CLASSES))
    t = np.arange(1, LENGTH + 1)
    begin = rng.integers(16, 33, count)[:, None]
    end = begin + rng.integers(32, 97, count)[:, None]
    height = 6 + rng.standard_normal(count)[:, None]
    shapes = np.stack([np.ones((count, LENGTH)), (t - begin) / (end - begin), (end - t) / (end - begin)])
    x = height * ((begin <= t) & (t <= end)) * shapes[kinds, np.arange(count)] + rng.standard_normal((count, LENGTH))
    return (x - x.mean(1, keepdims=True)) / x.std(1, ddof=1, keepdims=True), kinds
