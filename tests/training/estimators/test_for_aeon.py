"""aeon's checks of `training.estimators.for_aeon`."""

import numpy as np
import pytest

from training import estimators

pytest.importorskip("aeon")
from aeon.testing.estimator_checking import check_estimator

from training.estimators import for_aeon

# aeon's checks that fit nothing.
QUICK = [
    "check_create_test_instance",
    "check_inheritance",
    "check_has_common_interface",
    "check_set_params",
    "check_constructor",
    "check_estimator_class_tags",
    "check_get_params",
    "check_repr",
    "check_estimator_tags",
    "check_raises_not_fitted_error",
    "check_classifier_overrides_and_tags",
]


LARGE = ["ResNetClassifier", "InceptionTimeClassifier"]
SMALL = ["FCNClassifier", "FCNRegressor", "LITETimeClassifier", "HydraClassifier"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name, checks",
    [
        ("FCNClassifier", QUICK),
        ("HydraClassifier", QUICK),
        # All checks of ResNet and InceptionTime, the same class with another network, train for minutes.
        *(pytest.param(name, QUICK, marks=pytest.mark.complete) for name in LARGE),
        *(pytest.param(name, None, marks=pytest.mark.complete) for name in SMALL),
    ],
)
def test_estimators_pass_the_checks_of_aeon(name, checks):
    # The stored results are of aeon's own class of that name.
    others = ["check_classifier_against_expected_results"] if name == "HydraClassifier" else None
    found = check_estimator(getattr(for_aeon, name), checks_to_run=checks, checks_to_exclude=others)
    assert {check: result for check, result in found.items() if result != "PASSED"} == {}
    assert len(found) >= (len(checks) if checks else 20)


def test_the_same_results_as_for_scikit_learn():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 2, 20)), np.arange(12) % 2
    both = [
        package.FCNClassifier(epochs=1, batch_size=5, keep="best", random_state=3).fit(x, y)
        for package in (estimators, for_aeon)
    ]
    np.testing.assert_array_equal(both[0].predict_proba(x), both[1].predict_proba(x))
    assert both[0].get_params() == both[1].get_params()
