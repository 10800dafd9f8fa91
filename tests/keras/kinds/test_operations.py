"""Files with functions of keras.ops."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import jconv.keras
from jconv import layers as jl
from tests.support.keras_cases.operations import CASES
from tests.support.keras_crafted import archive, functional, operation, saved, tensor
from tests.support.keras_files import check, save
from tests.support.keras_watch import refused

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CASES)
def test_equals_keras(name: str) -> None:
    check(CASES[name])


@pytest.mark.parametrize(
    "own", [{"module": "mine"}, {"registered_name": "mine>Square"}, {"module": None, "registered_name": "mine>Square"}]
)
@pytest.mark.parametrize("class_name", ["Square", "TFOpLambda"])
def test_a_custom_class_is_not_taken_for_the_function_of_its_name(
    class_name: str, own: dict[str, Any], tmp_path: Path
) -> None:
    entry = operation(class_name, tensor("in0")) | own
    path = saved(tmp_path, archive(functional(entry)))
    refused(lambda: jconv.keras.load(path), "is a custom class", class_name, "custom_layers")
    supplied = {class_name: jl.Activation("relu")}
    model, params, state = jconv.keras.load(path, custom_layers=supplied)
    assert model.reference(params, state, np.full((1, *model.input_shapes[0]), -3.0)).max() == 0


def test_an_unknown_function_is_refused_as_one(tmp_path: Path) -> None:
    x = keras.Input((5, 2))
    path = save(keras.Model(x, keras.ops.sort(x, axis=1)), tmp_path / "a.keras")
    message = refused(lambda: jconv.keras.load(path), "the function 'Sort' of keras.ops is not supported")
    assert "custom class" not in message
