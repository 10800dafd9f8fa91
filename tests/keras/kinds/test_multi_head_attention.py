"""Files with multi-head attention layers."""

import pytest

from tests.support.keras_cases.multi_head_attention import CASES
from tests.support.keras_files import check

pytestmark = pytest.mark.usefixtures("quick_weights")


# Keras's GroupQueryAttention uses masks, and warns that it does not support them.
@pytest.mark.default_cases(1)
@pytest.mark.filterwarnings("ignore:(.|\n)*does not support masking")
@pytest.mark.parametrize("name", CASES)
def test_equals_keras(name: str) -> None:
    check(CASES[name])
