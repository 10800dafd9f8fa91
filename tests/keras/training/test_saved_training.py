"""Files that jconv writes with training state, from which Keras continues exactly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
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
from tests.keras.training.test_keras_two_training import unpacked
from tests.support.keras_files import deviation, save

STEPS, BATCH = 5, 4
S, R, C = ko.schedules, keras.regularizers, keras.constraints

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: ko.SGD(S.ExponentialDecay(0.05, 7, 0.5), momentum=0.9, nesterov=True, clipnorm=0.5),
    "adam": lambda: ko.Adam(S.CosineDecay(0.02, 13, 0.1), amsgrad=True, global_clipnorm=0.3),
    "adamw": lambda: ko.AdamW(0.01, weight_decay=0.05, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=4),
    "rmsprop": lambda: ko.RMSprop(S.PolynomialDecay(0.005, 12, 0.001), momentum=0.7, centered=True, clipvalue=0.1),
    "adagrad": lambda: ko.Adagrad(0.05, initial_accumulator_value=0.2, gradient_accumulation_steps=2),
    "lion": lambda: ko.Lion(S.PiecewiseConstantDecay([6, 11], [0.002, 0.001, 0.0005]), weight_decay=0.1),
}


def _network(has_more_layers: bool) -> Any:
    """A model with regularizers and constraints; with `has_more_layers` also nested and bidirectional layers."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 2))
    h = kl.Conv1D(3, 3, activation="tanh", kernel_regularizer=R.L2(0.05), activity_regularizer=R.L2(0.1))(x)
    if has_more_layers:
        inner_x = keras.Input((6, 3))
        point = kl.Conv1D(3, 1, use_bias=False, kernel_constraint=C.MaxNorm(0.8), name="point")
        h = keras.Model(inner_x, point(inner_x))(h)
    h = kl.BatchNormalization(momentum=0.9, gamma_regularizer=R.L1(0.02))(h)
    if has_more_layers:
        h = kl.Dense(3, trainable=False, use_bias=False)(h)
        h = kl.Bidirectional(kl.GRU(2, recurrent_regularizer=R.L1L2(0.01, 0.02), kernel_constraint=C.UnitNorm()))(h)
    else:
        h = kl.Flatten()(h)
    classes = kl.Dense(3, activation="softmax", name="classes", bias_regularizer=R.L1(0.01))(h)
    return keras.Model(x, [classes, kl.Dense(1, name="number", kernel_constraint=C.MaxNorm(0.7))(h)])


LOSS = [keras.losses.CategoricalCrossentropy(label_smoothing=0.1), "log_cosh"]


def _data(steps: int) -> Any:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((steps, BATCH, 8, 2)).astype("float32")
    classes = np.eye(3, dtype="float32")[rng.integers(0, 3, (steps, BATCH))]
    return x, classes, rng.standard_normal((steps, BATCH, 1)).astype("float32")


def _train_in_keras(model: Any, data: Any) -> None:
    for x, *targets in zip(*data, strict=True):
        model.train_on_batch(x, targets)


def _train_in_jconv(path: Path, data: Any) -> tuple[Any, ...]:
    """The model, params, state and `training` after one step for each batch."""
    model, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    slots = training.state

    @jax.jit
    def step(params: Any, state: Any, slots: Any, x: Any, targets: Any) -> Any:
        bars, (_, state) = jax.grad(training.objective, has_aux=True)(params, state, x, targets)
        updates, slots = training.optimizer.update(bars, slots, params)
        return optax.apply_updates(params, updates), state, slots

    for x, *targets in zip(*data, strict=True):
        params, state, slots = step(params, state, slots, x, tuple(targets))
    return model, params, state, replace(training, state=slots)


def _split(data: Any) -> list[Any]:
    """Three parts of `STEPS` batches each."""
    return [[a[i * STEPS : (i + 1) * STEPS] for a in data] for i in range(3)]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras_continues_as_if_it_had_never_stopped(name: str, tmp_path: Path) -> None:
    first, second, third = _split(_data(3 * STEPS))
    model = _network(name == "adam")
    model.compile(OPTIMIZERS[name](), LOSS, loss_weights=[0.7, 1.3])
    _train_in_keras(model, first)
    ours, params, state, training = _train_in_jconv(save(model, tmp_path / "a.keras"), second)
    for file in ("b.keras", "c.keras"):
        jconv.keras.save(tmp_path / file, ours, params, state, training=training)
    assert (tmp_path / "b.keras").read_bytes() == (tmp_path / "c.keras").read_bytes()
    back = keras.models.load_model(tmp_path / "b.keras")
    assert int(back.optimizer.variables[0]) == 2 * STEPS
    _train_in_keras(model, second)
    found = [np.asarray(v) for v in back.optimizer.variables]
    for array, want in zip(found, model.optimizer.variables, strict=True):
        assert array.shape == tuple(want.shape)
    _train_in_keras(back, third)
    _train_in_keras(model, third)
    have, want = (jconv.keras.load(save(m, tmp_path / f"{m.name}.keras")) for m in (back, model))
    for ours, theirs in zip(have[1:], want[1:], strict=True):
        assert set(theirs) == set(ours)
        for key, arrays in theirs.items():
            for array, value in arrays.items():
                assert deviation(ours[key][array], value, 1e-3) < 1e-5, (key, array)


@pytest.mark.parametrize("name", ["sgd_nesterov.h5", "adam.keras", "adamw.h5", "legacy_sgd.h5", "legacy_adam.h5"])
def test_a_file_of_keras_2_is_written_for_keras_3(name: str, tmp_path: Path) -> None:
    model, params, state = jconv.keras.load(unpacked(name, tmp_path))
    training = jconv.keras.load_training(tmp_path / name)
    jconv.keras.save(tmp_path / "b.keras", model, params, state, training=training)
    again = jconv.keras.load_training(tmp_path / "b.keras")
    assert (again.steps, again.penalty, again.activity) == (3, training.penalty, training.activity)
    assert again.learning_rate == pytest.approx(training.learning_rate, rel=1e-6)
    for a, b in zip(*map(jax.tree.leaves, (again.state, training.state)), strict=True):
        np.testing.assert_array_equal(a, b)
    back = keras.models.load_model(tmp_path / "b.keras")
    assert float(back.optimizer.learning_rate) == pytest.approx(training.learning_rate, rel=1e-6)
    assert "Huber" not in str(training.compiled.losses) or back._compile_config.config["loss"].fn.__name__ == "huber"


def _small(path: Path, optimizer: Any = "sgd", **options: Any) -> tuple[Any, ...]:
    x = keras.Input((5,))
    model = keras.Model(x, kl.Dense(2, kernel_regularizer="l2", name="dense")(x))
    model.compile(optimizer, "mse")
    save(model, path)
    return *jconv.keras.load(path), jconv.keras.load_training(path, **options)


def test_a_new_learning_rate_is_written(tmp_path: Path) -> None:
    *ours, training = _small(tmp_path / "a.keras", ko.SGD(S.CosineDecay(0.1, 3)), learning_rate=0.25)
    jconv.keras.save(tmp_path / "b.keras", *ours, training=training)
    assert float(keras.models.load_model(tmp_path / "b.keras").optimizer.learning_rate) == 0.25
    # An integer of more than 32 bits, which JAX does not have by default.
    *ours, training = _small(tmp_path / "a.keras", ko.SGD(0.1), learning_rate=2**40)
    jconv.keras.save(tmp_path / "b.keras", *ours, training=training)
    assert float(keras.models.load_model(tmp_path / "b.keras").optimizer.learning_rate) == 2.0**40


class Own(R.Regularizer):
    def __call__(self, x: Any) -> Any:
        return keras.ops.sum(x)

    def get_config(self) -> dict[str, Any]:
        return {}


def test_custom_regularizers_of_frozen_layers_are_ignored(tmp_path: Path) -> None:
    x = keras.Input((5,))
    model = keras.Model(x, kl.Dense(2)(kl.Dense(3, trainable=False, kernel_regularizer=Own())(x)))
    model.compile("sgd", "MSE")
    path = save(model, tmp_path / "a.keras")
    jconv.keras.save(tmp_path / "b.keras", *jconv.keras.load(path), training=jconv.keras.load_training(path))
    back = keras.models.load_model(tmp_path / "b.keras")
    assert back.layers[1].kernel_regularizer is None and back.loss is not None


def test_optimizers_and_options_that_keras_lacks_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"

    def refused(message: str, training: Any, model: Any = None, name: str = "b.keras") -> None:
        with pytest.raises(jconv.keras.KerasFileError, match=re.escape(message)):
            jconv.keras.save(tmp_path / name, model or ours[0], *ours[1:], training=training)
        assert not (tmp_path / "b.keras").exists()

    *ours, training = _small(path, optimizer="adam")
    refused("the name of a file with training must end in .keras, got 'b.weights.h5'", training, name="b.weights.h5")
    state = jax.tree.map(lambda a: a[:1] if a.ndim else a, training.state)
    refused("state must have an array 'mu' of shape (5, 2) for 'dense' 'kernel'", replace(training, state=state))
    refused("for 'dense' 'kernel', got none", replace(training, state=()))
    *_, own = _small(path, learning_rate=lambda count: 0.1)
    refused("an optimizer that Keras does not have: its learning_rate is a function of yours", own)
    own = jconv.keras.load_training(path, optimizer=optax.sgd(0.1))
    refused("training has an optimizer that Keras does not have: it is one of yours", own)
    legacy = jconv.keras.load_training(unpacked("legacy_adagrad.h5", tmp_path))
    refused("Adagrad of Keras 3 adds epsilon before it takes the square root", legacy)
    other = replace(training, compiled=replace(training.compiled, options={"gone": {"": {"kernel_regularizer": {}}}}))
    refused("training has kernel_regularizer for 'gone', a layer that the written model does not have", other)
