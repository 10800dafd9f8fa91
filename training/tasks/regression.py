"""Series and a number for each."""

from __future__ import annotations

import numpy as np

from jconv import Model

from ..data.datasets import Dataset
from ..data.scaling import moments, standardize
from ..errors import UserError
from . import losses
from .task import Examples, Target, Task, built, check_lengths


def regression(data: Dataset, network: str | Model = "fcn") -> Task:
    """Learn the number that is each series's label with a network of `NETWORKS`, or with one of one output.

    Channels and targets are standardized by the training set; the score is the mean absolute error in the target's own
    unit, the baseline the mean of the training targets. Raises `UserError` for labels that are no numbers or all the
    same, and series of unequal length where the network takes none.
    """
    own = data.targets_train
    if own is None:
        raise UserError(f"{data.name}: --task regression needs labels that are finite numbers")
    if np.ptp(own) == 0:
        raise UserError(f"{data.name}: all training targets are {own[0]:g}; there is nothing to learn")
    target = Target(*(float(value[0]) for value in moments(data.name, own[:, None], "the training targets")))
    data, *scaling = standardize(data)
    _, length, channels = data.x_train.shape
    model = built(network, data, 1, (length, channels))
    check_lengths(data, model)
    both = ((data.x_train, own, data.lengths_train), (data.x_test, data.targets_test, data.lengths_test))
    train, test = (
        None if x is None or y is None else Examples(x, (y[:, None] - target.mean) / target.deviation, lengths)
        for x, y, lengths in both
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
        target=target,
    )
