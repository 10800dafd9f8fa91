"""Tasks: what a network learns from a data set, one module for each kind."""

from __future__ import annotations

from collections.abc import Callable

from .augmented import with_augment
from .classification import classification
from .denoise import NOISE, denoise
from .forecast import HORIZON, WINDOW, forecast, windows
from .regression import regression
from .segment import mean_overlap, segment
from .task import (
    Examples,
    ForecastTarget,
    TargetScaling,
    Task,
    class_labels,
    examples_of,
    output_shape,
    with_loss,
    with_validation,
)
from .weighted import balanced, with_cross_entropy

TASKS: dict[str, Callable[..., Task]] = {
    "classification": classification,
    "regression": regression,
    "forecast": forecast,
    "denoise": denoise,
    "segment": segment,
}

__all__ = [
    "HORIZON",
    "NOISE",
    "TASKS",
    "WINDOW",
    "Examples",
    "ForecastTarget",
    "TargetScaling",
    "Task",
    "balanced",
    "class_labels",
    "classification",
    "denoise",
    "examples_of",
    "forecast",
    "mean_overlap",
    "output_shape",
    "regression",
    "segment",
    "windows",
    "with_augment",
    "with_cross_entropy",
    "with_loss",
    "with_validation",
]
