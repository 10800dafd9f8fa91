"""Files of Keras 2: networks whose outputs are those of the same network in Keras 3."""

from pathlib import Path

import jax
import keras
import pytest
from keras_files import deviation, drawn, keras_function, randomize, save
from keras_networks import NETWORKS
from keras_two import as_keras_two

import jconv.keras

pytestmark = pytest.mark.usefixtures("quick_compile", "quick_weights")

# Without functions between layers, which Keras 2 kept as code.
NAMES = (
    "autoencoder",
    "channels_first",
    "cnn_lstm",
    "fcn",
    "keyword_spotter",
    "lstm_fcn",
    "masked_sequential",
    "masked_tagger",
    "multi_task",
    "prepared",
    "resnet",
)


@pytest.mark.parametrize("name", NAMES)
def test_equals_keras(name: str, tmp_path: Path) -> None:
    keras.utils.clear_session()
    model = NETWORKS[name]()
    randomize(model)
    x = drawn(model)
    expected = jax.jit(keras_function(model))(x)
    as_keras_two(save(model, tmp_path / "new.h5"), tmp_path / "old.h5")
    ours, params, state = jconv.keras.load(tmp_path / "old.h5")
    y = jax.jit(lambda params, x: ours.apply(params, state, x)[0])(params, dict(zip(ours.inputs, x, strict=True)))
    for have, want in zip([y[n] for n in ours.outputs] if isinstance(y, dict) else [y], expected, strict=True):
        assert deviation(have, want) < 1e-5
