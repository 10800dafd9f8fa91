"""Files of models with special connections: outputs from both file formats, and models saved for Keras."""

from pathlib import Path

import keras
import pytest

import jconv.keras
from tests.support.keras_files import check_fits, check_outputs, randomize, same, save, save_weights
from tests.support.keras_wiring import WIRING

pytestmark = [
    pytest.mark.usefixtures("quick_weights"),
    # Keras warns if a layer does not support masks, and if a model is called on a dict.
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning"),
    pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning"),
]


def test_weights_are_matched_by_the_names_of_layers(tmp_path: Path) -> None:
    """In every kind of file, and for any names of the outputs."""
    keras.utils.clear_session()
    model = WIRING["output_dict"]()
    randomize(model)
    ours, *wanted = jconv.keras.load(save(model, tmp_path / "a.keras"))
    for path in (save_weights(model, tmp_path / "a.weights.h5"), save(model, tmp_path / "a.h5"), tmp_path / "a.keras"):
        assert same(jconv.keras.load_weights(path, ours), tuple(wanted)), path
        assert same(jconv.keras.load(tmp_path / "a.keras", weights=path)[1:], tuple(wanted)), path


# `unread_outputs` has arrays in its file that no output needs; jconv does not keep them.
@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", [name for name in WIRING if name != "unread_outputs"])
def test_keras_loads_written_weights(name: str, tmp_path: Path) -> None:
    """The original model loads them, even if jconv writes other layers for the masks."""
    keras.utils.clear_session()
    model = WIRING[name]()
    randomize(model)
    jconv.keras.save(tmp_path / "b.weights.h5", *jconv.keras.load(save(model, tmp_path / "a.keras")))
    check_fits(model, tmp_path / "b.weights.h5")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", WIRING)
def test_equals_keras(name: str) -> None:
    keras.utils.clear_session()
    model = WIRING[name]()
    randomize(model)
    check_outputs(model)
