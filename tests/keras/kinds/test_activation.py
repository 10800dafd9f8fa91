"""Files with layers as the activations of other layers."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from jconv import layers as jl
from jconv.keras.read.layer import read_layer
from tests.support.keras_cases.activation import CASES
from tests.support.keras_files import check, randomize, save

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CASES)
def test_equals_keras(name: str) -> None:
    check(CASES[name])


def dense(activation: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": "dense", "units": 3, "activation": activation, **config}}


def leaky(**config: Any) -> dict[str, Any]:
    return {"class_name": "LeakyReLU", "config": {"name": "leaky", "trainable": True, "dtype": "float32", **config}}


def test_a_leaky_relu_of_keras_2_as_activation_is_read() -> None:
    found = read_layer(dense(leaky(alpha=0.1)), "config", {}, lambda value, place: jl.Dense(1))
    assert found.wrap(found.base) == jl.Dense(3, jl.LeakyReLU(0.1))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            dense(leaky(), dtype="float16"),
            "layer 'dense' (Dense) at config: its activation 'leaky' computes in float32, but the layer in float16",
        ),
        (
            dense({"class_name": "PReLU", "config": {"name": "p", "trainable": False}}),
            "layer 'dense' (Dense) at config: its activation 'p' has trainable false, but the layer true",
        ),
        (
            dense({"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5}}),
            "layer 'dense' (Dense) at config: activation must be an activation layer, such as "
            "LeakyReLU(0.3), got Dropout(0.5)",
        ),
    ],
    ids=["type", "trainable", "class"],
)
def test_unsuitable_activations_are_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(jconv.keras.KerasFileError, match=f"^{re.escape(message)}$"):
        read_layer(entry, "config", {}, lambda value, place: jl.Dense(1), "float16")


def test_arrays_and_penalties_of_activations_are_read(tmp_path: Path) -> None:
    def prelu() -> Any:
        layer = kl.PReLU(alpha_regularizer=keras.regularizers.L2(0.5), shared_axes=[1])
        layer.build((None, 4, 3))
        return layer

    frozen = kl.Dense(3, activation=prelu(), trainable=False, name="frozen")
    model = keras.Sequential(
        [
            keras.Input((4, 2)),
            frozen,
            kl.Dense(3, activation=prelu(), name="dense"),
            kl.Activation(prelu(), name="last"),
        ]
    )
    randomize(model)
    model.compile("sgd", "mse")
    path = save(model, tmp_path / "model.keras")
    _, params, state = jconv.keras.load(path)
    penalty = jconv.keras.load_training(path).penalty
    assert list(state["frozen"]) == ["kernel", "bias", "activation/alpha"]
    alphas = [params["dense"]["activation/alpha"], params["last"]["alpha"]]
    assert float(penalty(params)) == pytest.approx(sum(0.5 * float((np.asarray(a) ** 2).sum()) for a in alphas))
