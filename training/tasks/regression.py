"""Regression: a number for each series."""

from __future__ import annotations

import numpy as np

from jconv import Model

from ..data.datasets import Dataset
from ..data.scaling import moments, standardize
from ..errors import UserError
from . import losses
from .task import TargetScaling, Task, examples_of, model_for_series


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
    data, mean, deviation = standardize(data)
    model = model_for_series(network, data, 1)
    train, test = examples_of(
        data._replace(y_train=targets, y_test=data.targets_test),
        lambda own: own._replace(y=(own.y[:, None] - target.mean) / target.deviation),
    )
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
        scaling=(mean, deviation),
        baseline_name="training mean",
        target_scaling=target,
    )
