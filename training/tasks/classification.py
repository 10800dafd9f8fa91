"""Series and their classes."""

from __future__ import annotations

from jconv import Model

from ..data.datasets import Dataset, check_classes
from ..data.scaling import standardize, z_normalized
from . import losses
from .task import Examples, Task, built, check_lengths


def classification(data: Dataset, network: str | Model = "fcn", by_series: bool = False) -> Task:
    """Tell the classes apart with a network of `NETWORKS`, or with one of a logit for each class.

    Channels are standardized by the training set, or with `by_series` each series by itself before. Raises `UserError`
    for fewer than two classes, one that only the test set has, and series of unequal length where the network takes
    none.
    """
    check_classes(data)
    data, *scaling = standardize(z_normalized(data) if by_series else data)
    _, length, channels = data.x_train.shape
    model = built(network, data, len(data.classes), (length, channels))
    check_lengths(data, model)
    return Task(
        "classification",
        model,
        Examples(data.x_train, data.y_train, data.lengths_train),
        None if data.x_test is None else Examples(data.x_test, data.y_test, data.lengths_test),
        loss=losses.cross_entropy,
        loss_reference=losses.cross_entropy_reference,
        score=losses.accuracy,
        score_name="accuracy",
        classes=data.classes,
        baseline=(),
        scaling=(scaling[0], scaling[1]),
    )
