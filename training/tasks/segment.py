"""Series and a class for each of their samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from jconv import Model

from ..data.datasets import Dataset, check_classes
from ..data.scaling import standardize
from . import losses
from .task import Examples, Task, built, check_lengths, labels_of

Array = np.ndarray[Any, Any]


def segment(data: Dataset, network: str | Model = "unet") -> Task:
    """Tell the class of each sample with a network of a logit for each class and sample.

    Channels are standardized by the training set. The score is the share of samples that are told right; what must be
    beaten is the class that most samples of the training set have, always guessed. Raises `UserError` as
    `classification` does, where series are too short for the network, and for labels of whole series.
    """
    check_classes(data, by_sample=True)
    data, *scaling = standardize(data)
    _, length, channels = data.x_train.shape
    model = built(network, data, len(data.classes), (length, channels))
    check_lengths(data, model)
    train = Examples(data.x_train, data.y_train, data.lengths_train)
    test = None
    if data.x_test is not None and data.y_test is not None:
        test = Examples(data.x_test, data.y_test, data.lengths_test)
    most = np.bincount(labels_of(train)).argmax()
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
        baseline=tuple(float(np.mean(labels_of(part) == most)) for part in (train, test) if part),
        baseline_name="most frequent class",
        baseline_of="score",
        scaling=(scaling[0], scaling[1]),
        sequence=True,
    )


def mean_overlap(labels: Array, guessed: Array) -> float:
    """The mean intersection over union of the classes that occur, of labels and guesses (m,).

    >>> mean_overlap(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    0.5833333333333333
    """
    shares = []
    for number in np.union1d(labels, guessed):
        own, taken = labels == number, guessed == number
        shares.append((own & taken).sum() / (own | taken).sum())
    return float(np.mean(shares))
