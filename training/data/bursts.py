"""Noise with slow and fast bursts of oscillation in it: series of which each sample has a class."""

from __future__ import annotations

import numpy as np

from .parts import Array

CLASSES = ("quiet", "slow", "fast")
LENGTH = 128
PERIODS = (16.0, 5.0)


def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """So many series, (count, 128) float64, and the number of the class of each sample, (count, 128) int32.

    Each half of a series has one burst, slow or fast, of 24 to 48 samples: a sine of amplitude 1 to 2 and of any phase,
    whose period is 16 or 5 samples. Everywhere there is normal noise of deviation 0.3.

    >>> x, kinds = draw(np.random.default_rng(0), 4)
    >>> x.shape, np.unique(kinds).tolist()
    ((4, 128), [0, 1, 2])
    """
    half = LENGTH // 2
    x, kinds = 0.3 * rng.standard_normal((count, LENGTH)), np.zeros((count, LENGTH), np.int32)
    t = np.arange(LENGTH)
    for begin in (0, half):
        kind = rng.integers(1, 3, (count, 1))
        size = rng.integers(24, 49, (count, 1))
        first = begin + (rng.random((count, 1)) * (half - size + 1)).astype(int)
        within = (first <= t) & (t < first + size)
        phase, amplitude = 2 * np.pi * rng.random((count, 1)), 1 + rng.random((count, 1))
        x += within * amplitude * np.sin(phase + 2 * np.pi * t / np.array(PERIODS)[kind - 1])
        kinds += np.where(within, kind, 0).astype(np.int32)
    return x, kinds
