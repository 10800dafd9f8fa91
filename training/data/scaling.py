"""Series moved and scaled: all by the numbers of the training set, or each by its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError
from .datasets import Array, Dataset, sample_mask


def standardize(data: Dataset) -> tuple[Dataset, Array, Array]:
    """`data` with each channel's training mean at 0 and its standard deviation at 1, and those two, (channels,).

    The test set is moved and scaled by the training set's numbers. Raises `UserError` as `moments` does.

    >>> from .datasets import load
    >>> scaled, mean, deviation = standardize(load("gunpoint"))
    >>> bool(abs(scaled.x_train.mean()) < 1e-12), mean.shape
    (True, (1,))
    """
    own = data.x_train[sample_mask(data.x_train, data.lengths_train)]
    mean, deviation = moments(data.name, own, "the training series")

    def scaled(x: Array, lengths: Array | None) -> Array:
        return np.where(sample_mask(x, lengths)[..., None], (x - mean) / deviation, 0)

    test = None if data.x_test is None else scaled(data.x_test, data.lengths_test)
    return data._replace(x_train=scaled(data.x_train, data.lengths_train), x_test=test), mean, deviation


def moments(name: str, values: Array, of: str) -> tuple[Array, Array]:
    """The mean and the deviation of each channel of values (n, channels), by which they are standardized.

    Raises `UserError` where the values are so large, or so small, that their squares are no numbers.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = values.mean(0), values.std(0)
    for channel in np.flatnonzero(~((deviation > 0) & (deviation < np.inf))):
        which = f"channel {channel + 1} of {of}" if len(deviation) > 1 else of
        words = f"the deviation of {which} is {deviation[channel]:g}, which scales nothing; write it in another unit"
        raise UserError(f"{name}: {words}")
    return mean, deviation


def z_normalize(data: Dataset) -> Dataset:
    """Each channel of each series moved to mean 0 and scaled to deviation 1; one that never changes to zeros.

    >>> from .datasets import load
    >>> bool(abs(z_normalize(load("gunpoint")).x_test.std(1) - 1).max() < 1e-12)
    True
    """

    def whole(x: Array, lengths: Array | None) -> Array:
        own = sample_mask(x, lengths)[..., None]
        return np.where(own, normalize_samples(x, own), 0)

    test = None if data.x_test is None else whole(data.x_test, data.lengths_test)
    return data._replace(x_train=whole(data.x_train, data.lengths_train), x_test=test)


def normalize_samples(x: Any, own: Any) -> Any:
    """`z_normalized` of series x (n, length, channels) by their `own` samples (n, length, 1), the others as they come.

    NumPy's arrays or JAX's.
    """
    deviation = x.std(1, keepdims=True, where=own)
    return (x - x.mean(1, keepdims=True, where=own)) / (deviation + (deviation == 0))
