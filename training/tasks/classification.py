"""Classification: a class for each series."""

from __future__ import annotations

from jconv import Model

from ..data.datasets import Dataset, check_classes
from ..data.scaling import standardize, z_normalize
from . import losses
from .task import Task, examples_of, model_for_series


def classification(data: Dataset, network: str | Model = "fcn", normalize_series: bool = False) -> Task:
    """Classify series with a network of `NETWORKS`, or with a model whose outputs are a logit for each class.

    Channels are standardized by the training set; with `normalize_series`, each series is first standardized by itself.
    Raises `UserError` for fewer than two classes, for a class that only the test set has, and for series of unequal
    length if the network requires one length.
    """
    check_classes(data)
    data, mean, deviation = standardize(z_normalize(data) if normalize_series else data)
    return Task(
        "classification",
        model_for_series(network, data, len(data.classes)),
        *examples_of(data),
        loss=losses.cross_entropy,
        loss_reference=losses.cross_entropy_reference,
        score=losses.accuracy,
        score_name="accuracy",
        classes=data.classes,
        baseline=(),
        scaling=(mean, deviation),
        normalize_series=normalize_series,
    )
