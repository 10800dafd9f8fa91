"""Standardization of series: by mean and standard deviation of the training set, or of each series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import UserError
from .datasets import Dataset, sample_mask


def standardize(data: Dataset) -> tuple[Dataset, Array, Array]:
    """Standardize each channel by the training set's mean and standard deviation, also returned, (channels,).

    Raises `UserError` as `moments` does.

    >>> from .datasets import load
    >>> scaled, mean, deviation = standardize(load("gunpoint"))
    >>> bool(abs(scaled.x_train.mean()) < 1e-12), mean.shape
    (True, (1,))
    """
    samples = data.x_train[sample_mask(data.x_train, data.lengths_train)]
    mean, deviation = moments(data.name, samples, "the training series")
    return _change_series(data, lambda x, inside: (x - mean) / deviation), mean, deviation


def moments(name: str, values: Array, what: str) -> tuple[Array, Array]:
    """The mean and standard deviation of each channel of values (n, channels).

    Raises `UserError`, which names the data and `what`, for values whose squares are too large or too small for floats.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = values.mean(0), values.std(0)
    for channel in np.flatnonzero(~((deviation > 0) & (deviation < np.inf))):
        which = f"channel {channel + 1} of {what}" if len(deviation) > 1 else what
        value = f"{deviation[channel]:g}, which cannot scale it"
        raise UserError(f"{name}: the standard deviation of {which} is {value}; use another unit")
    return mean, deviation


def z_normalize(data: Dataset) -> Dataset:
    """Standardize each channel of each series separately. A constant channel becomes zeros.

    >>> from .datasets import load
    >>> bool(abs(z_normalize(load("gunpoint")).x_test.std(1) - 1).max() < 1e-12)
    True
    """
    return _change_series(data, normalize_samples)


def normalize_samples(x: Any, inside: Any) -> Any:
    """Series x (n, length, channels) standardized by their samples where `inside` (n, length, 1) is true.

    For arrays of NumPy or JAX. The result in the padding is arbitrary.
    """
    deviation = x.std(1, keepdims=True, where=inside)
    return (x - x.mean(1, keepdims=True, where=inside)) / (deviation + (deviation == 0))


def _change_series(data: Dataset, change: Callable[[Array, Array], Array]) -> Dataset:
    """The data with `change(x, inside)` in place of the samples of each series; padding stays zero."""

    def changed(x: Array, lengths: Array | None) -> Array:
        inside = sample_mask(x, lengths)[..., None]
        return np.where(inside, change(x, inside), 0)

    x_test = None if data.x_test is None else changed(data.x_test, data.lengths_test)
    return data._replace(x_train=changed(data.x_train, data.lengths_train), x_test=x_test)
