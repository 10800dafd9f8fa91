"""A data set and a kind of network, joined: what is learned, a file each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..data.datasets import Dataset
from ..networks import NETWORKS
from .classification import classification
from .forecast import HORIZON, WINDOW, forecast, windows
from .regression import regression
from .task import Examples, Target, Task, check_lengths, with_loss, with_validation

TASKS: dict[str, Callable[[Dataset], Task]] = {
    **{name: partial(classification, network=name) for name, kind in NETWORKS.items() if not kind.sequence},
    "two-layer": forecast,
}

__all__ = [
    "HORIZON",
    "TASKS",
    "WINDOW",
    "Examples",
    "Target",
    "Task",
    "check_lengths",
    "classification",
    "forecast",
    "regression",
    "windows",
    "with_loss",
    "with_validation",
]
