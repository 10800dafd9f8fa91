"""Files with normalizations."""

import pytest

from tests.support.keras_cases.normalization import CASES
from tests.support.keras_files import check

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CASES)
def test_equals_keras(name: str) -> None:
    check(CASES[name])
