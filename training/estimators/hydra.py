"""Hydra as scikit-learn's estimators: a transformer, and a classifier with ridge regression on its features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from ..arrays import Array
from ..data.datasets import Series
from ..errors import UserError
from . import hydra_features
from .base import SEED_LIMIT, SeriesEstimator, check_whole
from .hydra_ridge import features_of, scaled, softmax_of_scores, sparse_scaling
from .series import class_numbers, read_series

# The penalties of the ridge regression, from which leave-one-out errors choose.
ALPHAS = np.logspace(-3, 3, 10)


class HydraTransformer(TransformerMixin, SeriesEstimator):
    """Hydra's features of series (n, features), for any classifier or regressor of tables.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((10, 3, 40))
    >>> HydraTransformer(random_state=0).fit_transform(X).shape
    (10, 3072)
    """

    def __init__(self, n_kernels: int = 8, n_groups: int = 64, random_state: Any = None) -> None:
        """Keep the parameters; `fit` checks them.

        Args:
            n_kernels: the kernels of a group, which compete.
            n_groups: groups for each dilation, half of them for the first difference: an even number.
            random_state: an int for the same kernels each time, a `numpy.random.RandomState`, or None.
        """
        self.n_kernels = n_kernels
        self.n_groups = n_groups
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw the kernels for series like these.

        Args:
            X: an array (n, channels, length) or (n, length), or a list of arrays (channels, length), which may differ
                in length; the longest decides the dilations.
            y: not used.

        Returns:
            The transformer itself.
        """
        self.hydra_ = draw(self, read_series(self, X, fitting=True))
        return self

    def transform(self, X: Any) -> Array:
        """The features (n, features), float32; X as in `fit`."""
        series = self._read(X)
        return features_of(self.hydra_, series.x, series.lengths)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class HydraClassifier(ClassifierMixin, SeriesEstimator):
    """Hydra's features, and scikit-learn's ridge classifier on them.

    (Dempster, Schmidt and Webb, Hydra: competing convolutional kernels for fast and accurate time series
    classification, Data Mining and Knowledge Discovery 2023.)

    >>> from training.api import load
    >>> data = load("gunpoint")
    >>> classifier = HydraClassifier(random_state=0).fit(data.x_train[:, :, 0], data.y_train)
    >>> classifier.score(data.x_test[:, :, 0], data.y_test) > 0.98
    True
    """

    classes_: Array

    def __init__(
        self,
        n_kernels: int = 8,
        n_groups: int = 64,
        multirocket: bool = False,
        class_weight: Any = None,
        random_state: Any = None,
    ) -> None:
        """Keep the parameters; `fit` checks them.

        Args:
            n_kernels: the kernels of a group, which compete.
            n_groups: groups for each dilation, half of them for the first difference: an even number.
            multirocket: whether aeon's MultiRocket features are joined to Hydra's; for series of one length.
            class_weight: passed to `sklearn.linear_model.RidgeClassifierCV`.
            random_state: an int for the same kernels each time, a `numpy.random.RandomState`, or None.
        """
        # The next base class of a subclass may be aeon's.
        super().__init__()
        self.n_kernels = n_kernels
        self.n_groups = n_groups
        self.multirocket = multirocket
        self.class_weight = class_weight
        self.random_state = random_state

    def fit_series(self, series: Series, y: Any) -> Self:
        """`fit` for series that `read_series` has checked."""
        numbers = class_numbers(self, series, y)
        self.hydra_ = draw(self, series)
        features = features_of(self.hydra_, series.x, series.lengths)
        self.scaling_ = sparse_scaling(features)
        parts = [scaled(features, self.scaling_)]
        if self.multirocket:
            self.multirocket_ = _multirocket(self, series)
            self.multirocket_scaler_: Any = StandardScaler()
            rocket = self.multirocket_.fit_transform(series.x.swapaxes(1, 2).astype(np.float32))
            parts.append(self.multirocket_scaler_.fit_transform(rocket))
        ridge: Any = RidgeClassifierCV(alphas=ALPHAS, class_weight=self.class_weight)
        self.ridge_ = ridge.fit(np.hstack(parts), self.classes_[numbers])
        return self

    def predict(self, X: Any) -> Array:
        """The class of each series (n,); X as in `fit`."""
        features = self._features(self._read(X))
        return self.ridge_.predict(features)

    def decision_function(self, X: Any) -> Array:
        """The ridge regression's scores, (n,) of two classes, else (n, classes); X as in `fit`."""
        features = self._features(self._read(X))
        return self.ridge_.decision_function(features)

    def predict_proba(self, X: Any) -> Array:
        """The softmax of the scores (n, classes), which is not calibrated; X as in `fit`."""
        return self.predict_series(self._read(X))

    def predict_series(self, series: Series) -> Array:
        """`predict_proba` of series that `read_series` has checked."""
        return softmax_of_scores(self.ridge_.decision_function(self._features(series)))

    def _features(self, series: Series) -> Array:
        found = features_of(self.hydra_, series.x, series.lengths)
        parts = [scaled(found, self.scaling_)]
        if self.multirocket:
            rocket = self.multirocket_.transform(series.x.swapaxes(1, 2).astype(np.float32))
            parts.append(self.multirocket_scaler_.transform(rocket))
        return np.hstack(parts)


def draw(estimator: HydraTransformer | HydraClassifier, series: Series) -> hydra_features.Hydra:
    """Draw the kernels for series like these, with the parameters of an estimator.

    Raises:
        UserError: for fewer than two kernels, and for a number of groups that is not even and positive.
    """
    check_whole("n_kernels", estimator.n_kernels, 2, ", which compete")
    check_whole("n_groups", estimator.n_groups, 2)
    if estimator.n_groups % 2:
        raise UserError(f"n_groups must be an even number, got {estimator.n_groups!r}")
    return hydra_features.init_hydra(
        _seed(estimator), *series.x.shape[1:], n_kernels=estimator.n_kernels, n_groups=estimator.n_groups
    )


def _seed(estimator: HydraTransformer | HydraClassifier) -> int:
    return int(check_random_state(estimator.random_state).randint(SEED_LIMIT))


def _multirocket(estimator: HydraClassifier, series: Series) -> Any:
    if series.lengths is not None:
        raise UserError("multirocket=True is for series of one length; these differ")
    try:
        from aeon.transformations.collection.convolution_based import MultiRocket
    except ImportError:
        raise ImportError('multirocket=True needs aeon: pip install "aeon>=1.4,<2"') from None
    return MultiRocket(random_state=_seed(estimator))
