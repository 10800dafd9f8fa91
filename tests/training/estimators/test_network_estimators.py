"""The networks as scikit-learn's estimators."""

import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import estimator_checks_generator

from training import api, estimators
from training.estimators import FCNClassifier, FCNRegressor, LITETimeClassifier

CLASSIFIERS = [name for name in estimators.__all__ if name.endswith("Classifier") and "Hydra" not in name]
REGRESSORS = ["FCNRegressor", "LITETimeRegressor"]  # the others train for minutes
# scikit-learn's checks that fit nothing.
QUICK = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
)


def series(count=12, channels=1, length=24, seed=0):
    """Slow and fast waves with noise, and their labels."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % 2
    waves = np.sin(np.arange(length) * np.where(numbers, 1.3, 0.5)[:, None, None])
    return waves + 0.3 * rng.standard_normal((count, channels, length)), np.array(["up", "down"])[numbers]


@pytest.fixture(scope="module")
def fitted():
    """A classifier that was fitted for one epoch."""
    return FCNClassifier(epochs=1, random_state=0).fit(*series())


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_separate_two_classes(name):
    x, y = series(40)
    found = getattr(estimators, name)(epochs=30, ensemble_size=1, random_state=0).fit(x, y)
    assert found.classes_.tolist() == ["down", "up"]
    assert found.score(*series(20, seed=1)) > 0.9
    probabilities = found.predict_proba(x)
    assert probabilities.shape == (40, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (found.predict(x) == found.classes_[probabilities.argmax(1)]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_predict_in_the_units_of_their_targets(name):
    x, _ = series(60)
    y = 50 + 10 * x.mean((1, 2))
    found = getattr(estimators, name)(epochs=60, ensemble_size=1, random_state=0).fit(x, y)
    assert found.score(x, y) > 0.7


@pytest.mark.slow
def test_an_ensemble_is_the_mean_of_its_models():
    x, y = series()
    found = LITETimeClassifier(epochs=1, random_state=0, ensemble_size=2).fit(x, y)
    assert LITETimeClassifier.usual_ensemble_size == 5
    each = [api.predict(model, x.swapaxes(1, 2)) for model in found.models_]
    assert len(each) == 2 and abs(each[0] - each[1]).max() > 1e-4
    np.testing.assert_allclose(found.predict_proba(x), (each[0] + each[1]) / 2, atol=1e-6)


def test_all_layouts_of_the_same_series_are_equal(fitted):
    x, y = series()
    wanted = fitted.predict_proba(x)
    for same in (x[:, 0], list(x), list(x[:, 0]), x[:, 0].tolist(), x.tolist()):
        np.testing.assert_array_equal(fitted.predict_proba(same), wanted)
        again = clone(fitted).fit(same, y)
        np.testing.assert_array_equal(again.predict_proba(x), wanted)


def test_random_state_and_pickle(fitted):
    x, y = series()
    wanted = fitted.predict_proba(x)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(x), wanted)
    other = clone(fitted).set_params(random_state=1).fit(x, y)
    assert abs(other.predict_proba(x) - wanted).max() > 1e-4


def test_series_of_variable_length():
    x, y = series(channels=2)
    rows = [one[:, : 24 - number] for number, one in enumerate(x)]
    found = FCNClassifier(epochs=1, random_state=0).fit(rows, y)
    together = found.predict_proba(rows)
    for row, wanted in zip(rows, together, strict=True):
        np.testing.assert_allclose(found.predict_proba([row])[0], wanted, atol=1e-6)
    objects = np.empty(len(rows), object)
    objects[:] = rows
    for same in (objects, [one.tolist() for one in rows]):
        np.testing.assert_array_equal(found.predict_proba(same), together)
    # Series of any length are accepted, also longer ones than in training.
    assert found.predict_proba([np.ones((2, 40))]).shape == (1, 2)


MISTAKES = [
    (lambda f: f.predict(np.zeros((2, 2, 24))), "series must have 1 channels, as in fit, got 2"),
    (lambda f: f.predict(np.zeros((2, 1, 9))), "series must have 24 samples, as in fit, got 9"),
    (lambda f: f.predict([np.zeros(24), np.zeros(9)]), "24 samples, as in fit, got several lengths"),
    (lambda f: f.predict([np.zeros((2, 3, 4))]), r"X\[0\] must be \(channels, length\) or \(length,\)"),
    (lambda f: f.predict([np.zeros((2, 5)), np.zeros(5)]), r"same number of channels, got \[1, 2\]"),
    (lambda f: f.predict([np.zeros(3), np.full(4, np.nan)]), r"X\[1\] contains NaN"),
    (lambda f: clone(f).fit(series()[0], None), "requires y to be passed"),
    (lambda f: clone(f).fit(series()[0], ["up"] * 12), "y has one class, 'up'; at least two"),
    (lambda f: clone(f).fit(series()[0], ["up"] * 3), "inconsistent numbers of samples"),
    (lambda f: clone(f).fit(series()[0], np.linspace(0, 1, 12)), "Unknown label type"),
    (lambda f: clone(f).fit(np.ones((4, 1, 9)), [0, 1, 0, 1]), "is 1 everywhere; there is nothing to learn"),
    (lambda f: clone(f).set_params(epochs=0).fit(*series()), "epochs must be a whole number of at least 1, got 0"),
    (lambda f: clone(f).set_params(epochs=2.5).fit(*series()), "epochs must be a whole number of at least 1, got 2.5"),
    (lambda f: clone(f).set_params(batch_size="4").fit(*series()), "batch_size must be a whole number .*, got '4'"),
    (
        lambda f: clone(f).set_params(batch_size=0).fit(*series()),
        "batch_size must be a whole number of at least 1, got 0",
    ),
    (
        lambda f: clone(f).set_params(ensemble_size=0).fit(*series()),
        "ensemble_size must be a whole number of at least 1, got 0",
    ),
    (lambda f: clone(f).set_params(learning_rate="a").fit(*series()), "learning_rate must be a number above zero"),
    (lambda f: clone(f).set_params(learning_rate=-1).fit(*series()), "learning_rate must be a number above zero"),
    (lambda f: clone(f).set_params(optimizer="adma").fit(*series()), "optimizer must be one of 'adam', .*'adma'"),
    (lambda f: clone(f).set_params(keep="all").fit(*series()), "keep must be one of 'last', 'best', got 'all'"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_invalid_data_and_parameters_raise(fitted, number):
    call, message = MISTAKES[number]
    with pytest.raises(ValueError, match=message) as error:
        call(fitted)
    assert isinstance(error.value, ValueError)


def test_it_must_be_fitted_first():
    with pytest.raises(NotFittedError):
        FCNRegressor().predict(np.zeros((2, 9)))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"^training\.estimators needs scikit-learn: pip "):
        _ = estimators.FCNClassifier
    with pytest.raises(AttributeError, match="has no attribute 'Unknown'"):
        _ = estimators.Unknown


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name, quick",
    [
        ("HydraClassifier", True),
        *(pytest.param(f"Hydra{kind}", False, marks=pytest.mark.complete) for kind in ("Classifier", "Transformer")),
        ("FCNClassifier", True),
        # All checks of a network train for more than the limit of a test.
        pytest.param("FCNRegressor", True, marks=pytest.mark.complete),
    ],
)
def test_estimators_pass_the_checks_of_scikit_learn(name, quick):
    options = {} if name.startswith("Hydra") else {"epochs": 30}
    estimator = getattr(estimators, name)(**options, random_state=0)
    failed, run = [], 0
    for own, check in estimator_checks_generator(estimator, mark="skip"):
        if quick and check.func.__name__ not in QUICK:
            continue
        run += 1
        try:
            check(own)
        except Exception as error:
            if type(error).__name__ != "SkipTest":
                failed.append((check, error))
    assert not failed and run >= (len(QUICK) if quick else 40)
