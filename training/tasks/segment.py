"""Segmentation: a class for each sample of a series."""

from __future__ import annotations

import numpy as np

from jconv import Model

from ..arrays import Array
from ..data.datasets import Dataset, check_classes
from ..data.scaling import standardize
from . import losses
from .task import Task, class_labels, examples_of, model_for_series


def segment(data: Dataset, network: str | Model = "unet") -> Task:
    """Classify each sample with a network whose outputs are a logit for each sample and class.

    Channels are standardized by the training set. The score is the fraction of samples classified correctly. The
    baseline always predicts the most frequent class of the training set. Raises `UserError` where `classification`
    does, if series are too short for the network, and if each series has a label instead of each sample.
    """
    check_classes(data, by_sample=True)
    data, mean, deviation = standardize(data)
    model = model_for_series(network, data, len(data.classes))
    train, test = examples_of(data)
    most_frequent = np.bincount(class_labels(train)).argmax()
    return Task(
        "segment",
        model,
        train,
        test,
        loss=losses.cross_entropy,
        loss_reference=losses.cross_entropy_reference,
        score=losses.accuracy,
        score_name="accuracy",
        classes=data.classes,
        baseline=tuple(float(np.mean(class_labels(part) == most_frequent)) for part in (train, test) if part),
        baseline_name="most frequent class",
        baseline_of="score",
        scaling=(mean, deviation),
        is_per_sample=True,
    )


def mean_overlap(labels: Array, predicted: Array) -> float:
    """The intersection over union of labels and predictions (m,), averaged over the classes that occur in either.

    >>> mean_overlap(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    0.5833333333333333
    """
    overlaps = []
    for number in np.union1d(labels, predicted):
        is_true, is_predicted = labels == number, predicted == number
        overlaps.append((is_true & is_predicted).sum() / (is_true | is_predicted).sum())
    return float(np.mean(overlaps))
