"""Metrics of a classification beyond accuracy: precision, recall and F1 of each class, and calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import Array

BINS = 10


class ClassScores(NamedTuple):
    """One class and its scores.

    `examples` is the number of its examples. `precision` is None if the class was never predicted, and `recall` if it
    has no examples. `chance_f1` is the F1 of predictions drawn at random with the class frequencies of the training
    set.
    """

    name: str
    examples: int
    precision: float | None
    recall: float | None
    f1: float
    chance_f1: float


class Calibration(NamedTuple):
    """Whether the probabilities of the predicted classes agree with the accuracy.

    `error` is the expected calibration error: the mean over predictions of |accuracy - mean probability| in their bin
    (Guo et al., On Calibration of Modern Neural Networks, ICML 2017). `counts`, `accuracies` and `confidences` are
    by bin, of equal width between 0 and 1; the last two are None for an empty bin.
    """

    error: float
    confidence: float
    accuracy: float
    counts: list[int]
    accuracies: list[float | None]
    confidences: list[float | None]


def class_scores(labels: Array, predicted: Array, training: Array, classes: tuple[str, ...]) -> list[ClassScores]:
    """The scores of each class for labels and predictions (n,); `training` has the labels of the training set.

    >>> scores = class_scores(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), np.array([0, 1]), ("a", "b"))
    >>> [(one.name, round(one.precision, 3), one.recall, round(one.f1, 3), one.chance_f1) for one in scores]
    [('a', 0.667, 1.0, 0.8, 0.5), ('b', 1.0, 0.5, 0.667, 0.5)]
    """
    scores = []
    for number, name in enumerate(classes):
        is_true, is_predicted = labels == number, predicted == number
        hits, true, guessed = (int(mask.sum()) for mask in (is_true & is_predicted, is_true, is_predicted))
        # The precision of random predictions is the class's frequency here, and their recall its frequency in training.
        here, trained = true / len(labels), float(np.mean(training == number))
        scores.append(
            ClassScores(
                name,
                true,
                hits / guessed if guessed else None,
                hits / true if true else None,
                2 * hits / (true + guessed) if true + guessed else 0.0,
                2 * here * trained / (here + trained) if here + trained else 0.0,
            )
        )
    return scores


def calibration(probabilities: Array, labels: Array) -> Calibration:
    """The calibration of probabilities (n, classes) for labels (n,).

    >>> found = calibration(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1]))
    >>> found.error, found.confidence, found.accuracy, found.counts
    (0.25, 0.75, 0.5, [0, 0, 0, 0, 0, 0, 0, 2, 0, 0])
    """
    confidences, is_correct = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    numbers = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = [numbers == number for number in range(BINS)]
    means = [(float(is_correct[b].mean()), float(confidences[b].mean())) if b.any() else None for b in bins]
    counts = [int(b.sum()) for b in bins]
    gaps = [count * abs(mean[0] - mean[1]) for count, mean in zip(counts, means, strict=True) if mean]
    return Calibration(
        sum(gaps) / len(labels),
        float(confidences.mean()),
        float(is_correct.mean()),
        counts,
        [mean and mean[0] for mean in means],
        [mean and mean[1] for mean in means],
    )


def probabilities(output: Array) -> Array:
    """Outputs (..., classes) as probabilities: the softmax of logits; the outputs of a softmax are unchanged.

    >>> probabilities(np.array([[0.25, 0.75]])), probabilities(np.array([[0.0, 0.0]]))
    (array([[0.25, 0.75]]), array([[0.5, 0.5]]))
    """
    output = np.asarray(output, np.float64)
    # Logits are hardly ever non-negative with a sum of 1 for every example.
    if (output >= 0).all() and np.allclose(output.sum(axis=-1), 1, atol=1e-3):
        return output
    return softmax(output)


def softmax(scores: Array) -> Array:
    """The softmax of scores (..., classes) over the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
