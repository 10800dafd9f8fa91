"""Complete networks from real Keras: outputs from both file formats in JAX and NumPy, and models saved for Keras."""

import keras
import pytest

from tests.support.keras_files import check_outputs, randomize
from tests.support.keras_networks import NETWORKS

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_keras(name: str) -> None:
    keras.utils.clear_session()
    model = NETWORKS[name]()
    randomize(model)
    check_outputs(model)
