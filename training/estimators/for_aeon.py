"""The estimators of this package as aeon's estimators, for its pipelines, experiments and `check_estimator`.

Parameters and results are the same. aeon's own base classes check the input and have more methods (`fit_predict`,
`get_tags`, `reset`), so importing this module needs aeon.
"""

# aeon's base classes come first. The parameters of their methods have other names than in scikit-learn.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any, ClassVar

try:
    from aeon.classification import BaseClassifier
    from aeon.regression import BaseRegressor
except ImportError:
    raise ImportError('training.estimators.for_aeon needs aeon: pip install "aeon>=1.4,<2"') from None

from . import hydra, networks
from .base import NetworkEstimator
from .series import read_series

TAGS: dict[str, Any] = {
    "X_inner_type": ["np-list", "numpy3D"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "algorithm_type": "deeplearning",
}


class AeonEstimator:
    """Implements the methods that aeon's base classes call with checked input, with the estimator's own methods."""

    _tags: ClassVar[dict[str, Any]] = TAGS

    def _fit(self: Any, X: Any, y: Any) -> Any:
        return self.fit_series(read_series(self, X, fitting=True), y)


class AeonClassifier(AeonEstimator, BaseClassifier):
    """Base class of the classifiers."""

    def _predict(self, X: Any) -> Any:
        return self.classes_[self._predict_proba(X).argmax(axis=1)]

    def _predict_proba(self: Any, X: Any) -> Any:
        return self.predict_series(read_series(self, X, fitting=False))


class AeonRegressor(AeonEstimator, BaseRegressor):
    """Base class of the regressors."""

    def _predict(self: Any, X: Any) -> Any:
        return self.predict_series(read_series(self, X, fitting=False))


class AeonNetwork:
    """The parameters of the networks."""

    def __init__(
        self,
        epochs: int = 400,
        batch_size: int | None = None,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        schedule: str = "cosine",
        keep: str = "last",
        ensemble_size: int | None = None,
        random_state: Any = None,
    ) -> None:
        # aeon's constructors call that of the next base class, the estimator, without arguments.
        super().__init__()
        NetworkEstimator.__init__(
            self,  # type: ignore[arg-type]
            epochs,
            batch_size,
            learning_rate,
            optimizer,
            schedule,
            keep,
            ensemble_size,
            random_state,
        )

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        return {"epochs": 2, "ensemble_size": 1}


class FCNClassifier(AeonNetwork, AeonClassifier, networks.FCNClassifier):
    """`training.estimators.FCNClassifier` for aeon."""


class FCNRegressor(AeonNetwork, AeonRegressor, networks.FCNRegressor):
    """`training.estimators.FCNRegressor` for aeon."""


class ResNetClassifier(AeonNetwork, AeonClassifier, networks.ResNetClassifier):
    """`training.estimators.ResNetClassifier` for aeon."""


class ResNetRegressor(AeonNetwork, AeonRegressor, networks.ResNetRegressor):
    """`training.estimators.ResNetRegressor` for aeon."""


class InceptionTimeClassifier(AeonNetwork, AeonClassifier, networks.InceptionTimeClassifier):
    """`training.estimators.InceptionTimeClassifier` for aeon."""


class InceptionTimeRegressor(AeonNetwork, AeonRegressor, networks.InceptionTimeRegressor):
    """`training.estimators.InceptionTimeRegressor` for aeon."""


class LITETimeClassifier(AeonNetwork, AeonClassifier, networks.LITETimeClassifier):
    """`training.estimators.LITETimeClassifier` for aeon."""


class LITETimeRegressor(AeonNetwork, AeonRegressor, networks.LITETimeRegressor):
    """`training.estimators.LITETimeRegressor` for aeon."""


class HydraClassifier(AeonClassifier, hydra.HydraClassifier):
    """`training.estimators.HydraClassifier` for aeon."""

    _tags: ClassVar[dict[str, Any]] = TAGS | {"algorithm_type": "convolution"}

    def __init__(
        self,
        n_kernels: int = 8,
        n_groups: int = 64,
        multirocket: bool = False,
        class_weight: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__()
        hydra.HydraClassifier.__init__(self, n_kernels, n_groups, multirocket, class_weight, random_state)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        return {"n_groups": 4}
