"""Regression: a number for each series."""

from __future__ import annotations

import numpy as np

from jconv import Model

from ..data.datasets import Dataset
from ..data.scaling import moments, standardize
from ..errors import UserError
from . import losses
from .task import Examples, TargetScaling, Task, build_model, check_lengths


def regression(data: Dataset, network: str | Model = "fcn") -> Task:
    """Predict the number that labels each series with a network of `NETWORKS`, or with a model of one output.

    Channels and targets are standardized by the training set. The score is the mean absolute error in the unit of the
    targets, the baseline predicts the mean of the training targets. Raises `UserError` for labels that are not numbers
    or are all the same, and for series of unequal length if the network requires one length.
    """
    targets = data.targets_train
    if targets is None:
        raise UserError(f"{data.name}: --task regression needs labels that are finite numbers")
    if np.ptp(targets) == 0:
        raise UserError(f"{data.name}: all training targets are {targets[0]:g}; there is nothing to learn")
    target = TargetScaling(*(float(value[0]) for value in moments(data.name, targets[:, None], "the training targets")))
    data, *scaling = standardize(data)
    _, length, channels = data.x_train.shape
    model = build_model(network, data, 1, (length, channels))
    check_lengths(data, model)
    parts = ((data.x_train, targets, data.lengths_train), (data.x_test, data.targets_test, data.lengths_test))
    train, test = (
        None if x is None or y is None else Examples(x, (y[:, None] - target.mean) / target.deviation, lengths)
        for x, y, lengths in parts
    )
    assert train is not None
    return Task(
        "regression",
        model,
        train,
        test,
        loss=losses.squared_error,
        loss_reference=losses.squared_error_reference,
        score=lambda output, y: target.deviation * losses.absolute_error(output, y),
        score_name="absolute_error",
        classes=(),
        baseline=tuple(float(np.mean(examples.y**2)) for examples in (train, test) if examples),
        scaling=(scaling[0], scaling[1]),
        baseline_name="training mean",
        target_scaling=target,
    )
