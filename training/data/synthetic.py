"""Synthetic series, drawn from formulas."""

from __future__ import annotations

import numpy as np

from .parts import DataPart

LENGTH = 128
CBF_CLASSES = ("cylinder", "bell", "funnel")
BURST_CLASSES = ("quiet", "slow", "fast")
BURST_PERIODS = (16.0, 5.0)


def cbf(rng: np.random.Generator, count: int) -> DataPart:
    """Series (count, 128, 1) of the classes cylinder, bell and funnel, as in the archive's CBF, evenly distributed.

    Let a be an integer from 16 to 32, b - a an integer from 32 to 96, and h and each e(t) standard normal. The sample
    at t = 1 to 128 is e(t) plus, for a <= t <= b, (6 + h) times 1 (cylinder), (t - a) / (b - a) (bell) or
    (b - t) / (b - a) (funnel). Each series is then standardized to mean 0 and standard deviation 1. (Saito, Local
    Feature Extraction and Its Applications Using a Library of Bases, Yale 1994.)

    >>> part = cbf(np.random.default_rng(0), 30)
    >>> part.x.shape, part.labels.count("bell")
    ((30, 128, 1), 10)
    """
    classes = rng.permutation(np.arange(count) % len(CBF_CLASSES))
    t = np.arange(1, LENGTH + 1)
    begin = rng.integers(16, 33, count)[:, None]
    end = begin + rng.integers(32, 97, count)[:, None]
    height = 6 + rng.standard_normal(count)[:, None]
    shapes = np.stack([np.ones((count, LENGTH)), (t - begin) / (end - begin), (end - t) / (end - begin)])
    inside = (begin <= t) & (t <= end)
    x = height * inside * shapes[classes, np.arange(count)] + rng.standard_normal((count, LENGTH))
    x = (x - x.mean(1, keepdims=True)) / x.std(1, ddof=1, keepdims=True)
    return DataPart(x[:, :, None], [CBF_CLASSES[number] for number in classes])


def bursts(rng: np.random.Generator, count: int) -> DataPart:
    """Series (count, 128, 1) of noise with bursts of slow and fast oscillation; each sample has a class.

    Each half of a series has one burst of 24 to 48 samples, slow or fast: a sine of period 16 or 5 with a random phase
    and an amplitude from 1 to 2. All samples have normal noise of standard deviation 0.3.

    >>> part = bursts(np.random.default_rng(0), 4)
    >>> part.x.shape, part.sample_labels.shape, part.labels
    ((4, 128, 1), (4, 128), ['quiet', 'slow', 'fast'])
    """
    half = LENGTH // 2
    x, classes = 0.3 * rng.standard_normal((count, LENGTH)), np.zeros((count, LENGTH), np.int32)
    t = np.arange(LENGTH)
    for begin in (0, half):
        burst = rng.integers(1, 3, (count, 1))
        size = rng.integers(24, 49, (count, 1))
        first = begin + (rng.random((count, 1)) * (half - size + 1)).astype(int)
        inside = (first <= t) & (t < first + size)
        phase, amplitude = 2 * np.pi * rng.random((count, 1)), 1 + rng.random((count, 1))
        x += inside * amplitude * np.sin(phase + 2 * np.pi * t / np.array(BURST_PERIODS)[burst - 1])
        classes += np.where(inside, burst, 0).astype(np.int32)
    return DataPart(x[:, :, None], list(BURST_CLASSES), classes)
