"""`load_training`: new optimizers and learning rates, losses that are not supported, and errors."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import optax
import pytest
from keras import layers as kl
from keras import optimizers as ko

import jconv.keras
from tests.support.keras_files import one_layer_model, save

L, S = keras.losses, ko.schedules


def test_a_model_that_was_never_trained_has_initial_optimizer_state(tmp_path: Path) -> None:
    model = one_layer_model()
    model.compile(ko.Adagrad(0.25, initial_accumulator_value=0.5), "mse")
    training = jconv.keras.load_training(save(model, tmp_path / "a.keras"))
    assert (training.name, training.steps, training.learning_rate) == ("Adagrad", 0, 0.25)
    assert all(np.all(np.asarray(array) == 0.5) for array in jax.tree.leaves(training.state[0].sum_of_squares))


def test_a_new_learning_rate_replaces_the_stored_one(tmp_path: Path) -> None:
    model = one_layer_model()
    model.compile(ko.SGD(0.25, momentum=0.9), "mse")
    path = save(model, tmp_path / "a.keras")
    assert jconv.keras.load_training(path, learning_rate=0.5).learning_rate == 0.5
    training = jconv.keras.load_training(path, learning_rate=lambda count: 1 / (2 + count))
    assert training.learning_rate == 0.5 and float(training.schedule(2)) == 0.25


@pytest.mark.parametrize("rate", [1e39, 10**40, float("nan"), "fast"])
def test_learning_rates_that_are_not_finite_in_float32_are_refused(rate: Any, tmp_path: Path) -> None:
    model = one_layer_model()
    model.compile(ko.SGD(0.1), "mse")
    path = save(model, tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"^learning_rate must be a finite number of float32, got .*$"):
        jconv.keras.load_training(path, learning_rate=rate)


def test_a_new_optimizer_keeps_the_constraints(tmp_path: Path) -> None:
    model = one_layer_model(kl.Dense(2, kernel_constraint=keras.constraints.NonNeg(), kernel_regularizer="l2"))
    model.compile(ko.Adamax(), "mse")
    path = save(model, tmp_path / "a.keras")
    _, params, state = jconv.keras.load(path)
    (key,) = params
    training = jconv.keras.load_training(path, optimizer=optax.sgd(10.0))
    assert (training.name, training.steps, training.learning_rate) == ("optax", 0, None)
    x, y = np.ones((3, 5), "float32"), np.zeros((3, 2), "float32")
    bars, _ = jax.grad(training.objective, has_aux=True)(params, state, x, y)
    updates, _ = training.optimizer.update(bars, training.state, params)
    moved = params[key]["kernel"] - 10 * bars[key]["kernel"]
    after: Any = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after[key]["kernel"], np.maximum(moved, 0), atol=1e-6)
    with pytest.raises(ValueError, match="learning_rate must not be given together with an optimizer"):
        jconv.keras.load_training(path, optimizer=optax.sgd(1.0), learning_rate=0.1)
    training = jconv.keras.load_training(save(one_layer_model(), tmp_path / "b.keras"), optimizer=optax.sgd(1.0))
    assert training.loss is None and training.why_no_loss == "the model was compiled without a loss"


class OwnLoss(L.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


class OwnSchedule(S.LearningRateSchedule):
    def __call__(self, step: Any) -> Any:
        return 0.1

    def get_config(self) -> dict[str, Any]:
        return {}


class OwnRegularizer(keras.regularizers.Regularizer):
    def get_config(self) -> dict[str, Any]:
        return {}


NO_LOSS: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "own": (one_layer_model, OwnLoss(), "'OwnLoss' is not part of Keras, and is not imported"),
    "unknown": (one_layer_model, L.Circle(), "the loss 'Circle' is not supported; supported are "),
    "none": (one_layer_model, None, "the model was compiled without a loss"),
    "no number": (
        one_layer_model,
        L.MeanSquaredError(reduction="none"),
        "reduction must be one of sum_over_batch_size, ",
    ),
    "masked": (
        lambda: one_layer_model(kl.Masking(), (5, 2)),
        "mse",
        "the output '.*' has a mask, which Keras applies to the loss",
    ),
}


@pytest.mark.parametrize("name", NO_LOSS)
def test_unsupported_losses_are_none_with_a_reason(name: str, tmp_path: Path) -> None:
    make, loss, why = NO_LOSS[name]
    model = make()
    model.compile("sgd", loss)
    training = jconv.keras.load_training(save(model, tmp_path / "a.keras"))
    assert training.loss is None
    assert re.search(why, training.why_no_loss) and "\n" not in training.why_no_loss


REFUSED: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "optimizer": (
        one_layer_model,
        lambda: ko.Adamax(),
        "the optimizer 'Adamax' is not supported; supported are SGD, Adam",
    ),
    "schedule": (
        one_layer_model,
        lambda: ko.SGD(OwnSchedule()),
        "'OwnSchedule' is not part of Keras, and is not imported",
    ),
    "regularizer": (
        lambda: one_layer_model(kl.Dense(2, kernel_regularizer=OwnRegularizer())),
        ko.SGD,
        "is not part of Keras",
    ),
    "matrix": (
        lambda: one_layer_model(kl.Conv1D(2, 3, bias_regularizer=keras.regularizers.OrthogonalRegularizer()), (5, 2)),
        ko.SGD,
        "bias_regularizer does not fit an array of shape .2,.: it compares two or more rows of a matrix",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_objects_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, optimizer, message = REFUSED[name]
    model = make()
    model.compile(optimizer(), "mse")
    with pytest.raises(jconv.keras.KerasFileError, match=message) as caught:
        jconv.keras.load_training(save(model, tmp_path / "a.keras"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_a_model_that_was_not_compiled_is_refused(form: str, tmp_path: Path) -> None:
    with pytest.raises(jconv.keras.NotCompiledError, match=f"a.{form} was not compiled: it has no optimizer"):
        jconv.keras.load_training(save(one_layer_model(), tmp_path / f"a.{form}"))


def _changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the optimizer in the config of a file; returns the path."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["compile_config"]["optimizer"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, json.dumps(config) if name == "config.json" else data)
    return path


def _set(**options: Any) -> Callable[[dict[str, Any]], None]:
    return lambda optimizer: optimizer["config"].update(options)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "decay": (_set(decay=0.1), "the option 'decay', 0.1, is not supported"),
    "two clips": (_set(clipnorm=1.0, clipvalue=1.0), "at most one of clipnorm, global_clipnorm, clipvalue may be set"),
    "text": (_set(beta_1="0.9"), "beta_1 must be a finite number, got '0.9'"),
    "rate": (_set(learning_rate=[1]), "learning_rate must be a finite number"),
    "steps": (_set(gradient_accumulation_steps=-1), "must be at least 2, or 0 or null for none, got -1"),
    "one step": (_set(gradient_accumulation_steps=1), "must be at least 2, or 0 or null for none, got 1"),
    "average": (_set(use_ema=True, ema_momentum=2.0), "ema_momentum must be from 0 to 1"),
    "slots": (_set(amsgrad=True), "has 4 arrays after its counts; Adam must have 6 for the model's 2 trainable arrays"),
    "class": (lambda optimizer: optimizer.update(class_name="Lion"), "the option 'epsilon'"),
    "module": (lambda optimizer: optimizer.update(module="os"), "'Adam' is not part of Keras, and is not imported"),
    "kind": (lambda optimizer: optimizer.update(config=3), "config must be an object, got 3"),
    "schedule": (
        _set(
            learning_rate={
                "class_name": "ExponentialDecay",
                "config": {"initial_learning_rate": 1, "decay_rate": 1, "decay_steps": 0},
            }
        ),
        "decay_steps must be a number above zero, got 0",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_invalid_optimizer_configs_are_refused(name: str, tmp_path: Path) -> None:
    change, message = CHANGES[name]
    model = one_layer_model()
    model.compile(ko.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    path = _changed(save(model, tmp_path / "a.keras"), change)
    with pytest.raises(jconv.keras.KerasFileError, match=message) as caught:
        jconv.keras.load_training(path)
    assert "\n" not in str(caught.value)


def test_zero_accumulation_steps_are_none_as_in_keras(tmp_path: Path) -> None:
    model = one_layer_model()
    model.compile(ko.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    path = _changed(save(model, tmp_path / "a.keras"), _set(gradient_accumulation_steps=0))
    arrays = keras.models.load_model(path).optimizer.variables
    assert not any("accumulator" in array.path for array in arrays)
    training = jconv.keras.load_training(path)
    assert training.rule is not None and training.rule.accumulation == 1
    for steps in (1, -1):
        with pytest.raises(ValueError, match="must be an integer >= 2"):
            keras.models.load_model(_changed(path, _set(gradient_accumulation_steps=steps)))


def test_a_file_without_the_optimizer_is_refused(tmp_path: Path) -> None:
    """Keras removes the optimizer from the compile config of a model that it saves as `.h5`."""
    model = one_layer_model()
    model.compile("adam", "mse")
    save(model, tmp_path / "a.h5")
    path = save(model, tmp_path / "a.keras")
    with pytest.raises(jconv.keras.KerasFileError, match="has a loss and no optimizer, which Keras loses") as caught:
        jconv.keras.load_training(path)
    assert not isinstance(caught.value, jconv.keras.NotCompiledError)
    assert jconv.keras.load_training(path, optimizer=optax.sgd(0.1)).loss is not None


def test_loss_scaling_in_float16_is_refused(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = one_layer_model()
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(jconv.keras.KerasFileError, match="and no loss scaling for float16"):
        jconv.keras.load_training(save(model, tmp_path / "a.keras"))
