"""Hydra: its features against their definition, lengths, streams, and the classifier."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline

from jconv import reference
from training import api
from training.estimators import HydraClassifier, HydraTransformer
from training.estimators.hydra_features import Hydra, features, init_hydra, stream_init, stream_step


def by_definition(hydra: Hydra, x: np.ndarray) -> np.ndarray:
    """The features of one series (length, channels), in NumPy and sample by sample."""
    found = []
    for number, both in enumerate(hydra.kernels):
        for series, kernels, mixing in zip(
            (x, np.diff(x, axis=0)), both, (None, None) if hydra.mixing is None else hydra.mixing[number], strict=True
        ):
            counts = np.zeros((2, *kernels.shape[1:]))
            for group in range(kernels.shape[2]):
                read = series if mixing is None else series @ mixing[:, group : group + 1]
                kernel = {"kernel": kernels[:, None, :, group].astype(float)}
                response = reference.conv1d(kernel, read[None], padding="same", dilation=2**number)[0]
                for values in response:
                    counts[0, values.argmax(), group] += values.max()
                    counts[1, values.argmin(), group] += 1
            found.append(counts)
    return np.stack(found).ravel()


def series(count=5, length=40, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((count, length, channels)).cumsum(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_agree_with_the_definition(channels):
    x = series(channels=channels)
    hydra = init_hydra(0, 40, channels, n_kernels=4, n_groups=6)
    assert hydra.kernels.shape == (3, 2, 9, 4, 3)
    wanted = np.stack([by_definition(hydra, one) for one in x])
    np.testing.assert_allclose(features(hydra, x), wanted, rtol=1e-4, atol=1e-4)


def test_kernels_have_mean_zero_and_sum_to_one():
    kernels = init_hydra(1, 150, 1).kernels
    np.testing.assert_allclose(kernels.mean(2), 0, atol=1e-7)
    np.testing.assert_allclose(abs(kernels).sum(2), 1, atol=1e-6)


@pytest.mark.parametrize("length, dilations", [(1, 1), (9, 1), (17, 2), (150, 5), (1460, 8)])
def test_the_widest_kernel_is_no_longer_than_the_series(length, dilations):
    assert len(init_hydra(0, length, 1, n_groups=2).kernels) == dilations


def test_one_sample_has_no_difference():
    found = features(init_hydra(0, 1, 1, n_groups=4), np.ones((2, 1, 1))).reshape(2, 2, -1)
    assert (found[:, 0] != 0).any() and (found[:, 1] == 0).all()


def test_mixing_sums_some_channels():
    mixing = init_hydra(0, 20, 6).mixing
    assert mixing.shape == (2, 2, 6, 32) and (mixing.sum(2) == 3).all()


def test_series_of_variable_length_have_the_features_of_each_alone():
    x, lengths = series(channels=2), np.array([40, 31, 12, 2, 1])
    hydra = init_hydra(0, 40, 2, n_kernels=4, n_groups=6)
    padded = np.where(np.arange(40)[:, None] < lengths[:, None, None], x, np.nan)
    together = np.asarray(features(hydra, padded, lengths))
    for one, length, row in zip(x[:4], lengths, together, strict=False):
        np.testing.assert_allclose(features(hydra, one[None, :length])[0], row, rtol=1e-4, atol=1e-4)


def test_blocks_of_series_have_the_features_of_all(monkeypatch):
    x = series(7)
    hydra = init_hydra(0, 40, 1, n_groups=6)
    complete = features(hydra, x)
    monkeypatch.setattr("training.estimators.hydra_features.BLOCK", 40 * 24 * 3)
    np.testing.assert_allclose(features(hydra, x), complete, rtol=1e-5, atol=1e-5)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sizes", [[1] * 20, pytest.param([3, 0, 12, 5], marks=pytest.mark.complete)])
def test_a_stream_has_the_features_of_the_complete_series(channels, sizes):
    x = series(3, 20, channels).astype(np.float32)
    hydra = init_hydra(0, 20, channels, n_kernels=4, n_groups=4)
    stream = stream_init(hydra, 3)
    for chunk in np.split(x, np.cumsum(sizes)[:-1], axis=1):
        stream = stream_step(hydra, stream, chunk)
    assert jnp.abs(stream.features.reshape(3, -1) - features(hydra, x)).max() > 0.5
    stream = stream_step(hydra, stream, x[:, :0], last=True)
    np.testing.assert_allclose(stream.features.reshape(3, -1), features(hydra, x), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def gunpoint():
    data = api.load("gunpoint")
    labels = np.array(data.classes)
    return data.x_train[:, :, 0], labels[data.y_train], data.x_test[::3, :, 0], labels[data.y_test[::3]]


def test_the_classifier_classifies_gunpoint(gunpoint):
    x, y, x_test, y_test = gunpoint
    found = HydraClassifier(random_state=0).fit(x, y)
    assert found.score(x_test, y_test) > 0.98
    probabilities = found.predict_proba(x_test)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (found.classes_[probabilities.argmax(1)] == found.predict(x_test)).all()
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.decision_function(x_test), found.decision_function(x_test))
    other = clone(found).set_params(random_state=1).fit(x, y)
    assert abs(other.decision_function(x_test) - found.decision_function(x_test)).max() > 1e-3


def test_several_classes_and_variable_length():
    rng = np.random.default_rng(0)
    rows = [
        np.sin(np.arange(20 + number) * (0.3 + number % 3 / 2)) + rng.normal(0, 0.1, (2, 20 + number))
        for number in range(18)
    ]
    y = np.arange(18) % 3
    found = HydraClassifier(n_groups=8, random_state=0).fit(rows, y)
    assert found.score(rows, y) == 1 and found.predict_proba(rows[:1]).shape == (1, 3)
    with pytest.raises(ValueError, match="multirocket=True is for series of one length"):
        clone(found).set_params(multirocket=True).fit(rows, y)


def test_the_transformer_in_a_pipeline(gunpoint):
    x, y, x_test, y_test = gunpoint
    transformer = HydraTransformer(random_state=0)
    assert transformer.fit(x).transform(x_test).shape == (50, 5120)
    pipeline = make_pipeline(transformer, RidgeClassifierCV())
    assert pipeline.fit(x, y).score(x_test, y_test) > 0.9


# Numba compiles aeon's transform for half a minute.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_hydra_with_multirocket_classifies_gunpoint(gunpoint):
    pytest.importorskip("aeon")
    x, y, x_test, y_test = gunpoint
    found = HydraClassifier(multirocket=True, random_state=0).fit(x, y)
    assert found.ridge_.n_features_in_ > 40_000
    assert found.score(x_test, y_test) > 0.98


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_kernels": 1}, "n_kernels must be a whole number of at least 2, which compete, got 1"),
        ({"n_groups": 4.0}, "n_groups must be a whole number of at least 2, got 4.0"),
        ({"n_groups": 3}, "n_groups must be an even number, got 3"),
    ],
)
def test_invalid_parameters_raise(options, message):
    with pytest.raises(ValueError, match=message):
        HydraClassifier(**options).fit(np.eye(4), [0, 1, 0, 1])


def test_fitted_again_to_series_of_another_length():
    """The series length of the first fit does not apply to the second."""
    classifier = HydraClassifier(n_groups=4, random_state=0).fit(np.eye(8), [0, 1] * 4)
    classifier.fit(np.eye(6)[:, None], [0, 1] * 3)
    assert classifier.predict(np.eye(6)).shape == (6,)


def test_values_that_float32_does_not_hold_are_an_error():
    x = np.eye(8)
    classifier = HydraClassifier(n_groups=4, random_state=0).fit(x, [0, 1] * 4)
    x[2, 3] = 1e45
    message = r"series 3 has values up to 1e\+45, too large for features in float32; use another unit"
    for call in (lambda: clone(classifier).fit(x, [0, 1] * 4), lambda: classifier.predict(x)):
        with pytest.raises(api.UserError, match=message):
            call()


def test_one_class_and_predict_before_fit_raise():
    with pytest.raises(ValueError, match=r"y has one class, .*; at least two classes are needed"):
        HydraClassifier().fit(np.eye(4), [1] * 4)
    with pytest.raises(NotFittedError):
        HydraClassifier().predict(np.eye(4))
