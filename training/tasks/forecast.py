"""Windows of series and what follows each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jconv import Model

from ..data.datasets import Dataset
from ..data.scaling import standardize
from ..errors import UserError
from . import losses
from .task import Ahead, Examples, Task, built, output_shape

Array = np.ndarray[Any, Any]

WINDOW = 100
HORIZON = 16


def forecast(
    data: Dataset,
    network: str | Model = "two-layer",
    window: int = WINDOW,
    horizon: int = HORIZON,
    channel: int | None = 0,
) -> Task:
    """Foretell the next `horizon` samples of a channel, or with None of all, from `window` samples of all channels.

    Every window of every series is an example; the network gives as many numbers as samples are forecast, a channel
    after the other. Labels are not used. What must be beaten is the last sample repeated. Raises `UserError` for a
    channel that there is not, where the training set, or the test set, has no series of `window + horizon` samples, and
    for a network of other outputs.
    """
    channels = data.x_train.shape[-1]
    if channel is not None and channel >= channels:
        of = f"{channels} channel{'s' if channels > 1 else ''}"
        raise UserError(f"--target-channel {channel + 1}: series of {data.name} have {of}")
    for x, lengths in ((data.x_train, data.lengths_train), (data.x_test, data.lengths_test)):
        longest = window + horizon if x is None else x.shape[1] if lengths is None else int(lengths.max())
        if longest < window + horizon:
            raise UserError(
                f"{data.name}: a forecast of {horizon} samples from {window} needs series of at least "
                f"{window + horizon} samples; these have {'' if lengths is None else 'up to '}{longest}; "
                "--window and --horizon name others"
            )
    data, *scaling = standardize(data)
    ahead = Ahead(horizon, tuple(range(channels)) if channel is None else (channel,))
    numbers = horizon * len(ahead.channels)
    model = built(network, data, numbers, (window, channels))
    shape = output_shape(model, (window, channels))
    if math.prod(shape) != numbers:
        raise UserError(
            f"{data.name}: the output of the network for {window} samples is {shape}; a forecast of {horizon} samples "
            f"of {len(ahead.channels)} channel{'s' if len(ahead.channels) > 1 else ''} is {numbers} numbers"
        )

    def examples(x: Array, lengths: Array | None) -> Examples:
        inputs, targets, _ = windows(x, lengths, window, *ahead)
        return Examples(inputs, targets.reshape(-1, *shape))

    train = examples(data.x_train, data.lengths_train)
    test = None if data.x_test is None else examples(data.x_test, data.lengths_test)
    return Task(
        "forecast",
        model,
        train,
        test,
        loss=losses.squared_error,
        loss_reference=losses.squared_error_reference,
        score=losses.absolute_error,
        score_name="absolute_error",
        classes=(),
        baseline=tuple(_persistence(part, ahead) for part in (train, test) if part),
        baseline_name="last sample repeated",
        scaling=(scaling[0], scaling[1]),
        ahead=ahead,
    )


def windows(
    x: Array, lengths: Array | None = None, window: int = WINDOW, horizon: int = HORIZON, channels: Sequence[int] = (0,)
) -> Examples:
    """Series (n, length, channels) to windows (m, window, channels) and what follows each, (m, its channels, horizon).

    With `lengths` (n,), those of each series's own samples.

    >>> x, y, _ = windows(np.arange(120.0).reshape(1, 120, 1))
    >>> x.shape, y.shape, x[1, -1, 0], y[1, 0, 0]
    ((5, 100, 1), (5, 1, 16), np.float64(100.0), np.float64(101.0))
    """
    whole = window + horizon
    both = np.lib.stride_tricks.sliding_window_view(x, whole, axis=1)
    if lengths is None:
        both = both.reshape(-1, x.shape[-1], whole)
    else:
        both = both[np.arange(both.shape[1]) + whole <= lengths[:, None]]
    return Examples(both[:, :, :window].swapaxes(1, 2), both[:, list(channels), window:])


def _persistence(examples: Examples, ahead: Ahead) -> float:
    """The squared error of the forecast that nothing will change: what a model must beat."""
    x, y, _ = examples
    last = x[:, -1, list(ahead.channels), None]
    return float(losses.squared_error_reference(last, y.reshape(*last.shape[:2], ahead.horizon)))
