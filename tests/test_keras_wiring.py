"""Files of models that are wired in Keras's ways: outputs from both kinds of file, and the way back into Keras."""

import keras
import pytest
from keras_files import check_outputs, randomize
from keras_wiring import WIRING

pytestmark = [
    pytest.mark.usefixtures("quick_compile", "quick_weights"),
    # Keras says so where a mask ends, and where models are called on dicts.
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning"),
    pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning"),
]


@pytest.mark.parametrize("name", WIRING)
def test_equals_keras(name: str) -> None:
    keras.utils.clear_session()
    model = WIRING[name]()
    randomize(model)
    check_outputs(model)
