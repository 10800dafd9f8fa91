"""Windows of series and what follows each."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import losses
from ..data.datasets import Dataset, standardize
from ..errors import UserError
from ..networks import two_layer
from .task import Examples, Task

Array = np.ndarray[Any, Any]

WINDOW = 100
HORIZON = 16


def forecast(data: Dataset) -> Task:
    """Regress the next 16 samples of the first channel on the 100 before them, with the two-layer network.

    Every window of every series is an example: inputs (n, 100, channels), targets (n, 1, 16). Labels are not used.
    Raises `UserError` where the training set, or the test set, has no series of 116 samples.
    """
    for x, lengths in ((data.x_train, data.lengths_train), (data.x_test, data.lengths_test)):
        longest = WINDOW + HORIZON if x is None else x.shape[1] if lengths is None else int(lengths.max())
        if longest < WINDOW + HORIZON:
            raise UserError(
                f"{data.name}: the two-layer model forecasts {HORIZON} samples from {WINDOW}, so series need at least "
                f"{WINDOW + HORIZON} samples; these have {'' if lengths is None else 'up to '}{longest}"
            )
    data, *scaling = standardize(data)
    train = windows(data.x_train, data.lengths_train)
    test = None if data.x_test is None else windows(data.x_test, data.lengths_test)
    return Task(
        two_layer(),
        train,
        test,
        loss=losses.squared_error,
        loss_reference=losses.squared_error_reference,
        score=losses.absolute_error,
        score_name="absolute_error",
        classes=(),
        baseline=tuple(_persistence(examples) for examples in (train, test) if examples),
        scaling=(scaling[0], scaling[1]),
    )


def windows(x: Array, lengths: Array | None = None) -> Examples:
    """Series (n, length, channels) to windows (m, 100, channels) and what follows each, (m, 1, 16).

    With `lengths` (n,), those of each series's own samples.

    >>> x, y, _ = windows(np.arange(120.0).reshape(1, 120, 1))
    >>> x.shape, y.shape, x[1, -1, 0], y[1, 0, 0]
    ((5, 100, 1), (5, 1, 16), np.float64(100.0), np.float64(101.0))
    """
    both = np.lib.stride_tricks.sliding_window_view(x, WINDOW + HORIZON, axis=1)
    if lengths is None:
        both = both.reshape(-1, x.shape[-1], WINDOW + HORIZON)
    else:
        both = both[np.arange(both.shape[1]) + WINDOW + HORIZON <= lengths[:, None]]
    return Examples(both[:, :, :WINDOW].swapaxes(1, 2), both[:, :1, WINDOW:])


def _persistence(examples: Examples) -> float:
    """The squared error of the forecast that nothing will change: what a model must beat."""
    return float(losses.squared_error_reference(examples.x[:, -1:, :1], examples.y))
