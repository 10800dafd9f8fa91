"""The published networks as classifiers and regressors. Their parameters are those of `NetworkEstimator`.

The networks themselves are in `training.networks`.
"""

from __future__ import annotations

from .base import NetworkClassifier, NetworkRegressor


class FCNClassifier(NetworkClassifier):
    """A classifier: the fully convolutional network of Wang, Yan and Oates (IJCNN 2017).

    >>> from training.api import load
    >>> data = load("gunpoint")
    >>> X, y = data.x_train[:, :, 0], [data.classes[number] for number in data.y_train]
    >>> classifier = FCNClassifier(epochs=2, random_state=0).fit(X, y)
    >>> classifier.predict_proba(X).shape, classifier.classes_.tolist()
    ((50, 2), ['gun-draw', 'point'])
    """

    network = "fcn"


class FCNRegressor(NetworkRegressor):
    """A regressor: the fully convolutional network of Wang, Yan and Oates (IJCNN 2017).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((20, 3, 40))
    >>> FCNRegressor(epochs=2, random_state=0).fit(X, X.mean((1, 2))).predict(X).shape
    (20,)
    """

    network = "fcn"


class ResNetClassifier(NetworkClassifier):
    """A classifier: the residual network of Wang, Yan and Oates (IJCNN 2017)."""

    network = "resnet"


class ResNetRegressor(NetworkRegressor):
    """A regressor: the residual network of Wang, Yan and Oates (IJCNN 2017)."""

    network = "resnet"


class InceptionTimeClassifier(NetworkClassifier):
    """A classifier: five Inception networks (Fawaz et al., DMKD 2020)."""

    network = "inception-time"
    usual_ensemble_size = 5


class InceptionTimeRegressor(NetworkRegressor):
    """A regressor: five Inception networks (Fawaz et al., DMKD 2020)."""

    network = "inception-time"
    usual_ensemble_size = 5


class LITETimeClassifier(NetworkClassifier):
    """A classifier: five LITE networks, each of 9,814 params (Ismail-Fawaz et al., IEEE DSAA 2023)."""

    network = "lite"
    usual_ensemble_size = 5


class LITETimeRegressor(NetworkRegressor):
    """A regressor: five LITE networks, each of 9,814 params (Ismail-Fawaz et al., IEEE DSAA 2023)."""

    network = "lite"
    usual_ensemble_size = 5
