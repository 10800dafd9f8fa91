"""Classifiers and regressors of time series by scikit-learn's conventions; docs/guides/estimators.md describes them.

`training.estimators.for_aeon` has the same classes as estimators of aeon. Both packages are imported with the first
class that is used: importing this package needs neither.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .hydra import HydraClassifier, HydraTransformer
    from .networks import (
        FCNClassifier,
        FCNRegressor,
        InceptionTimeClassifier,
        InceptionTimeRegressor,
        LITETimeClassifier,
        LITETimeRegressor,
        ResNetClassifier,
        ResNetRegressor,
    )

__all__ = [
    "FCNClassifier",
    "FCNRegressor",
    "HydraClassifier",
    "HydraTransformer",
    "InceptionTimeClassifier",
    "InceptionTimeRegressor",
    "LITETimeClassifier",
    "LITETimeRegressor",
    "ResNetClassifier",
    "ResNetRegressor",
]

_EXTRA = 'training.estimators needs scikit-learn: pip install "scikit-learn>=1.6,<2"'


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        importlib.import_module("sklearn")
    except ImportError:
        raise ImportError(_EXTRA) from None
    module = ".hydra" if name.startswith("Hydra") else ".networks"
    return getattr(importlib.import_module(module, __name__), name)
