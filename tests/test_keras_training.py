"""Training goes on in jconv as it would have gone on in real Keras: rules, options, schedules, penalties, losses."""

from __future__ import annotations

import json
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import optax
import pytest
from keras import layers as kl
from keras import optimizers as ko
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE
from keras_files import deviation

import jconv.keras

pytestmark = pytest.mark.usefixtures("quick_compile")

BEFORE, AFTER, BATCH = 5, 20, 4
S = ko.schedules


@dataclass
class Trainee:
    """A Keras model, its first weights, and its gradient, compiled once for all optimizers."""

    model: Any
    weights: list[Any]
    gradient: Callable[..., Any]

    def compiled(self, optimizer: Any) -> None:
        """Begin again with an optimizer."""
        self.model.set_weights(self.weights)
        self.model.compile(optimizer, "mse")
        optimizer.build(self.model.trainable_variables)

    def steps(self, x: Any, y: Any) -> None:
        """A step of Keras's for each batch: what `train_on_batch` does, in two compiled pieces."""
        model, optimizer = self.model, self.model.optimizer
        sets = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        trained, rest, slots = ([v.value for v in variables] for variables in sets)
        apply = jax.jit(optimizer.stateless_apply)
        for batch in zip(x, y, strict=True):
            bars, rest = self.gradient(trained, rest, *batch)
            trained, slots = apply(slots, bars, trained)
        for variables, values in zip(sets, (trained, rest, slots), strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)


@cache
def _trainee(dtype: str) -> Trainee:
    """Convolutions with batch normalization and every regularizer; no bias that normalization makes idle."""
    keras.utils.set_random_seed(0)
    r = keras.regularizers
    x = keras.Input((10, 2), dtype=dtype)
    h = kl.Conv1D(4, 3, use_bias=False, kernel_regularizer=r.L2(1e-2))(x)
    h = kl.Activation("tanh")(kl.BatchNormalization(momentum=0.9, gamma_regularizer=r.L1(1e-2))(h))
    h = kl.Conv1D(3, 3, activation="tanh", kernel_regularizer=r.L1L2(1e-3, 1e-2), bias_regularizer="l2")(h)
    y = kl.Dense(2, kernel_regularizer=r.OrthogonalRegularizer(0.1))(kl.Flatten()(h))
    model = keras.Model(x, y)
    model.compile("sgd", "mse")

    def loss(trained: Any, rest: Any, x: Any, y: Any) -> Any:
        # The optimizer and its variables are here for a scaled loss alone.
        value, aux = model.compute_loss_and_updates(trained, rest, [], x, y, None, True, model.optimizer.variables)
        return value, aux[2]

    def gradient(*arguments: Any) -> Any:
        (_, rest), bars = jax.value_and_grad(loss, has_aux=True)(*arguments)
        return bars, rest

    model.optimizer = None
    return Trainee(model, [np.asarray(v.value) for v in model.weights], jax.jit(gradient))


@cache
def _our_gradient(model: Any, penalty: Any, loss: Any) -> Callable[..., Any]:
    def objective(params: Any, state: Any, x: Any, y: Any) -> Any:
        output, after = model.apply(params, state, x, training=True)
        return loss(output, y) + penalty(params), after

    return jax.jit(jax.grad(objective, has_aux=True))


MEAN_SQUARED = lambda y, target: ((y - target) ** 2).mean()  # noqa: E731


def _ours(path: Path, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Params, state and optimizer state after a step for each batch."""
    model, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    slots, gradient = training.state, _our_gradient(model, training.penalty, MEAN_SQUARED)
    update = jax.jit(training.optimizer.update)
    for batch in zip(x, y, strict=True):
        bars, state = gradient(params, state, *batch)
        updates, slots = update(bars, slots, params)
        params = optax.apply_updates(params, updates)
    return params, state, slots


def _batches(dtype: str, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    shape = (BEFORE + AFTER, BATCH)
    return rng.standard_normal((*shape, 10, 2)).astype(dtype), rng.standard_normal((*shape, 2)).astype(dtype)


def _saved(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


@contextmanager
def _float64() -> Any:
    """Keras in float64, which on JAX it is not by itself: many operations come out in float32, by one table of types."""
    before = BIT64_TO_BIT32_DTYPE["float64"]
    BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    keras.config.set_floatx("float64")
    try:
        with jax.enable_x64(True):
            yield
    finally:
        BIT64_TO_BIT32_DTYPE["float64"] = before
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def _furthest(path: Path, ours: Any) -> float:
    """The largest deviation of what we have from the file that Keras saved after the same steps."""
    _, params, state = jconv.keras.load(path)
    expected = (params, state, jconv.keras.load_training(path).state)
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    return max(deviation(a, b) for a, b in zip(*map(jax.tree.leaves, (ours, expected)), strict=True))


RULES: dict[str, Callable[[], Any]] = {
    "sgd": lambda: ko.SGD(0.05),
    "sgd momentum": lambda: ko.SGD(S.ExponentialDecay(0.05, 7, 0.5), momentum=0.9, clipnorm=0.5),
    "sgd nesterov": lambda: ko.SGD(
        S.PolynomialDecay(0.05, 8, 0.01, 2.0), momentum=0.8, nesterov=True, weight_decay=0.02
    ),
    "adam": lambda: ko.Adam(0.01, epsilon=1e-3),
    "adam amsgrad": lambda: ko.Adam(S.CosineDecay(0.02, 18, 0.1), amsgrad=True, global_clipnorm=0.3),
    "adamw": lambda: ko.AdamW(
        S.PiecewiseConstantDecay([6, 11, 15], [0.01, 0.005, 0.02, 0.001]), weight_decay=0.05, beta_1=0.8
    ),
    "rmsprop": lambda: ko.RMSprop(0.005, rho=0.8, clipvalue=0.1),
    "rmsprop centered": lambda: ko.RMSprop(
        S.InverseTimeDecay(0.005, 5, 0.5, staircase=True), momentum=0.7, centered=True, weight_decay=0.1, epsilon=1e-3
    ),
    "adagrad": lambda: ko.Adagrad(S.CosineDecayRestarts(0.05, 4, 2.0, 0.7, 0.1), initial_accumulator_value=0.2),
    "lion": lambda: ko.Lion(S.CosineDecay(0.001, 9, warmup_target=0.003, warmup_steps=9), weight_decay=0.1),
    "accumulated": lambda: ko.Adam(S.ExponentialDecay(0.02, 3, 0.8), gradient_accumulation_steps=3, clipnorm=0.3),
    "averaged": lambda: ko.SGD(0.05, momentum=0.5, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=4),
    "averaged and accumulated": lambda: ko.AdamW(
        0.01, use_ema=True, ema_momentum=0.6, gradient_accumulation_steps=2
    ),
}
CONSTRAINTS: dict[str, Callable[[], Any]] = {
    "max norm": lambda: keras.constraints.MaxNorm(0.5),
    "not negative": lambda: keras.constraints.NonNeg(),
    "unit norm": lambda: keras.constraints.UnitNorm(),
    "norm between": lambda: keras.constraints.MinMaxNorm(0.3, 0.6, rate=0.5),
}


def _goes_on(optimizer: Any, folder: Path, dtype: str, form: str = "keras") -> float:
    """How far we are from Keras after further steps."""
    x, y = _batches(dtype)
    trainee = _trainee(dtype)
    trainee.compiled(optimizer)
    trainee.steps(x[:BEFORE], y[:BEFORE])
    before = _saved(trainee.model, folder / f"before.{form}")
    assert jconv.keras.load_training(before).steps == BEFORE
    trainee.steps(x[BEFORE:], y[BEFORE:])
    after = _saved(trainee.model, folder / f"after.{form}")
    return _furthest(after, _ours(before, x[BEFORE:], y[BEFORE:]))


@pytest.mark.parametrize("name", RULES)
def test_goes_on_as_keras_in_float64(name: str, tmp_path: Path) -> None:
    with _float64():
        d=_goes_on(RULES[name](), tmp_path, "float64")
        print(name, d)
        assert d < 1e-10


@pytest.mark.parametrize("name", RULES)
def test_goes_on_as_keras_in_float32(name: str, tmp_path: Path) -> None:
    d= _goes_on(RULES[name](), tmp_path, "float32", "h5" if "s" in name else "keras")
    print(name, d)
    assert d < 1e-5
