"""Forecasting: the samples after a window of a series."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jconv import Model

from ..arrays import Array
from ..data.datasets import Dataset
from ..data.scaling import standardize
from ..errors import UserError
from . import losses
from .task import Examples, ForecastTarget, Task, build_model, examples_of, output_shape

WINDOW = 100
HORIZON = 16


def forecast(
    data: Dataset,
    network: str | Model = "two-layer",
    window: int = WINDOW,
    horizon: int = HORIZON,
    channel: int | None = 0,
) -> Task:
    """Predict the next `horizon` samples of a channel, or of all with `channel=None`, from `window` samples.

    Each window of each series, with all channels, is an example. The network has an output for each predicted sample,
    channel by channel. Labels are not used. The baseline repeats the last sample. Raises `UserError` for a channel that
    does not exist, if no series of the training or test set has `window + horizon` samples, and for a network with
    another output shape.
    """
    channels = data.x_train.shape[-1]
    if channel is not None and channel >= channels:
        of = f"{channels} channel{'s' if channels > 1 else ''}"
        raise UserError(f"--target-channel {channel + 1}: series of {data.name} have {of}")
    data, mean, deviation = standardize(data)
    target = ForecastTarget(horizon, tuple(range(channels)) if channel is None else (channel,))
    size = horizon * len(target.channels)
    model = build_model(network, data, size, (window, channels))
    shape = output_shape(model, (window, channels))
    if math.prod(shape) != size:
        raise UserError(
            f"{data.name}: the output of the network for {window} samples is {shape}; a forecast of {horizon} samples "
            f"of {len(target.channels)} channel{'s' if len(target.channels) > 1 else ''} needs {size} elements"
        )

    def of_windows(examples: Examples) -> Examples:
        x, _, lengths = examples
        longest = x.shape[1] if lengths is None else int(lengths.max())
        if longest < window + horizon:
            raise UserError(
                f"{data.name}: a forecast of {horizon} samples from {window} needs series of at least "
                f"{window + horizon} samples; these have {'' if lengths is None else 'up to '}{longest}; "
                "--window and --horizon change these sizes"
            )
        inputs, targets, _ = windows(x, lengths, window, *target)
        return Examples(inputs, targets.reshape(-1, *shape))

    train, test = examples_of(data, of_windows)
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
        baseline=tuple(_persistence_error(part, target) for part in (train, test) if part),
        baseline_name="last sample repeated",
        scaling=(mean, deviation),
        forecast_target=target,
    )


def windows(
    x: Array, lengths: Array | None = None, window: int = WINDOW, horizon: int = HORIZON, channels: Sequence[int] = (0,)
) -> Examples:
    """All windows (m, window, channels) of series (n, length, channels), and the samples that follow each window.

    The samples that follow are (m, target channels, horizon). With `lengths` (n,), neither contains padding.

    >>> x, y, _ = windows(np.arange(120.0).reshape(1, 120, 1))
    >>> x.shape, y.shape, x[1, -1, 0], y[1, 0, 0]
    ((5, 100, 1), (5, 1, 16), np.float64(100.0), np.float64(101.0))
    """
    size = window + horizon
    both = np.lib.stride_tricks.sliding_window_view(x, size, axis=1)
    if lengths is None:
        both = both.reshape(-1, x.shape[-1], size)
    else:
        both = both[np.arange(both.shape[1]) + size <= lengths[:, None]]
    return Examples(both[:, :, :window].swapaxes(1, 2), both[:, list(channels), window:])


def _persistence_error(examples: Examples, target: ForecastTarget) -> float:
    """The squared error of repeating the last sample."""
    x, y, _ = examples
    last = x[:, -1, list(target.channels), None]
    return float(losses.squared_error_reference(last, y.reshape(*last.shape[:2], target.horizon)))
