"""Cross-entropy with label smoothing and class weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import UserError
from . import losses
from .task import Task


def balanced(labels: Array, classes: int) -> Array:
    """The weight n / (classes * count) of each class, (classes,), so that all classes contribute equally.

    A class without examples has weight 0.

    >>> balanced(np.array([0, 0, 0, 1]), 2)
    array([0.66666667, 2.        ])
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts, len(labels) / (classes * np.maximum(counts, 1)), 0.0)


def with_cross_entropy(task: Task, smoothing: float = 0.0, weights: Array | None = None) -> Task:
    """The task with label smoothing and class weights (classes,) in its cross-entropy.

    Raises `UserError` if the task has another loss.
    """
    if task.loss not in (losses.cross_entropy, losses.probability_cross_entropy):
        option = "--label-smoothing" if smoothing else "--class-weights"
        remedy = "; --loss cross-entropy replaces it" if task.classes else ""
        raise UserError(f"{option} is for cross-entropy, but the task has another loss{remedy}")
    options: Any = {"smoothing": smoothing, "weights": weights}
    return task._replace(loss=partial(task.loss, **options), loss_reference=partial(task.loss_reference, **options))
