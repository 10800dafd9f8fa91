"""Base classes of the estimators that train a network, with a task and a plan of `training.api`."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import api
from ..arrays import Array
from ..core.optimizers import OPTIMIZERS
from ..core.schedules import SCHEDULES
from ..data.datasets import Dataset, Series, check_varies
from ..errors import UserError
from .series import class_numbers, read_series, target_values

# Seeds are below this limit, which fits JAX's 32-bit integers.
SEED_LIMIT = 2**31 - 1


class SeriesEstimator(BaseEstimator):
    """Base class of all estimators, which read series with `read_series`."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to series with their labels or targets.

        Args:
            X: an array (n, channels, length) or (n, length), or a list of arrays (channels, length), which may differ
                in length.
            y: a class or a number for each series (n,).

        Returns:
            The estimator itself.

        Raises:
            ValueError: for data or parameters that cannot be fitted.
            training.api.Diverged: if the loss of a network is not finite or explodes.
        """
        return self.fit_series(read_series(self, X, fitting=True), y)

    def fit_series(self, series: Series, y: Any) -> Self:
        """`fit` for series that `read_series` has checked."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _read(self, X: Any) -> Series:
        check_is_fitted(self)
        return read_series(self, X, fitting=False)


class NetworkEstimator(SeriesEstimator):
    """Base class: the parameters, and `models_`, an `api.TrainedModel` for each model of the ensemble.

    A subclass names a network of `training.networks` and the usual size of an ensemble of it.
    """

    network: ClassVar[str]
    usual_ensemble_size: ClassVar[int] = 1

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
        """Keep the parameters; `fit` checks them.

        Args:
            epochs: passes over the training series.
            batch_size: series in a batch; by default a tenth of the training set, at least 4 and at most 16.
            learning_rate: the initial rate.
            optimizer: "adam", "adamw", "sgd", "rmsprop" or "lion".
            schedule: the learning rate falls to zero ("cosine", "linear"), stays ("constant"), or is halved after 50
                epochs without a lower loss ("plateau").
            keep: the params of the last epoch ("last"), or those of the lowest training loss ("best").
            ensemble_size: how many networks are trained, each from its own seed; predictions are their mean. By default
                five for InceptionTime and LITETime, as published, else one.
            random_state: an int for the same result each time, a `numpy.random.RandomState`, or None.
        """
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.keep = keep
        self.ensemble_size = ensemble_size
        self.random_state = random_state

    def fit_series(self, series: Series, y: Any) -> Self:
        """`fit` for series that `read_series` has checked."""
        data = self._dataset(series, y)
        check_varies(data)
        task, plan = self._task(data), self._plan(len(series.x))
        size = self.usual_ensemble_size if self.ensemble_size is None else self.ensemble_size
        check_whole("ensemble_size", size)
        seeds = check_random_state(self.random_state).randint(SEED_LIMIT, size=size)
        # The models are trained one after the other. vmap would need more memory and not be faster on a CPU, and they
        # share one compiled epoch.
        self.models_ = [api.train(task, plan._replace(seed=int(seed))) for seed in seeds]
        return self

    def predict_series(self, series: Series) -> Array:
        """The mean of the predictions of the ensemble's models: probabilities (n, classes), or values (n,)."""
        each = [api.predict(model, series.x, series.lengths) for model in self.models_]
        return np.mean(each, axis=0, dtype=np.float64)

    def _dataset(self, series: Series, y: Any) -> Dataset:
        raise NotImplementedError

    def _task(self, data: Dataset) -> api.Task:
        raise NotImplementedError

    def _plan(self, examples: int) -> api.Plan:
        size = min(max(4, examples // 10), 16) if self.batch_size is None else self.batch_size
        check_whole("epochs", self.epochs)
        check_whole("batch_size", size)
        is_number = isinstance(self.learning_rate, Real)
        _check(
            is_number and 0 < self.learning_rate < np.inf, "learning_rate", self.learning_rate, "a number above zero"
        )
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("keep", ("last", "best"))):
            value = getattr(self, name)
            _check(value in known, name, value, f"one of {', '.join(map(repr, known))}")
        return api.Plan(
            epochs=self.epochs,
            batch_size=min(size, examples),
            learning_rate=self.learning_rate,
            seed=0,
            # Without a test set there is nothing to evaluate.
            evaluate_every=self.epochs,
            optimizer=self.optimizer,
            keep=self.keep,
            schedule=self.schedule,
            weight_decay=OPTIMIZERS[self.optimizer].weight_decay,
        )


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Base class of the classifiers, with `classes_` in sorted order."""

    classes_: Array

    def predict(self, X: Any) -> Array:
        """The most probable class of each series (n,); X as in `fit`."""
        numbers = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers]

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class (n, classes), in the order of `classes_`; X as in `fit`."""
        return self.predict_series(self._read(X))

    def _dataset(self, series: Series, y: Any) -> Dataset:
        numbers = class_numbers(self, series, y)
        return Dataset("X", series.x, numbers, None, None, tuple(map(str, self.classes_)), series.lengths)

    def _task(self, data: Dataset) -> api.Task:
        return api.classification(data, self.network)


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Base class of the regressors."""

    def predict(self, X: Any) -> Array:
        """The number predicted for each series (n,); X as in `fit`."""
        return self.predict_series(self._read(X))

    def _dataset(self, series: Series, y: Any) -> Dataset:
        values = target_values(self, series, y)
        numbers = np.zeros(len(values), np.int32)
        return Dataset("X", series.x, numbers, None, None, (), series.lengths, targets_train=values)

    def _task(self, data: Dataset) -> api.Task:
        return api.regression(data, self.network)


def check_whole(name: str, value: Any, least: int = 1, more: str = "") -> None:
    """Raise `UserError` for a parameter that is not a whole number of at least `least`."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    _check(bool(is_whole and value >= least), name, value, f"a whole number of at least {least}{more}")


def _check(holds: bool, name: str, value: Any, wanted: str) -> None:
    if not holds:
        raise UserError(f"{name} must be {wanted}, got {value!r}")
