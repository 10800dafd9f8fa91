"""Training continues as in Keras: update rules, options, schedules and penalties."""

from __future__ import annotations

import inspect
import textwrap
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

import jconv.keras
from jconv.keras.training.regularizers import L1L2, Orthogonal, WeightPenalty
from tests.support.keras_files import deviation, save

BEFORE, AFTER, BATCH = 5, 20, 4
S = ko.schedules


@dataclass
class Trainee:
    """A Keras model, its initial weights and its gradient, compiled once for all optimizers."""

    model: Any
    weights: list[Any]
    gradient: Callable[..., Any]
    apply: Any = None

    def compile_with(self, optimizer: Any) -> None:
        """Restore the initial weights and compile with this optimizer."""
        self.model.set_weights(self.weights)
        self.model.compile(optimizer, "mse")
        optimizer.build(self.model.trainable_variables)
        self.apply = jax.jit(optimizer.stateless_apply)

    def steps(self, x: Any, y: Any) -> None:
        """One step of Keras for each batch, like `train_on_batch`, in two compiled functions."""
        model, optimizer = self.model, self.model.optimizer
        sets = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        trained, rest, slots = ([v.value for v in variables] for variables in sets)
        for batch in zip(x, y, strict=True):
            bars, rest = self.gradient(trained, rest, *batch)
            trained, slots = self.apply(slots, bars, trained)
        for variables, values in zip(sets, (trained, rest, slots), strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)


@cache
def _trainee(dtype: str) -> Trainee:
    """Convolutions with batch normalization and every regularizer; no bias precedes the normalization."""
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
        # `compute_loss_and_updates` uses the variables of the optimizer only to scale the loss.
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


MEAN_SQUARED_ERROR = lambda y, target: ((y - target) ** 2).mean()  # noqa: E731


def _ours(path: Path, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The params, state and optimizer state after one step for each batch."""
    model, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    slots, gradient = training.state, _our_gradient(model, training.penalty, MEAN_SQUARED_ERROR)
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


@contextmanager
def _float64() -> Any:
    """Keras in float64: on JAX, a table of types makes many of its operations return float32."""
    before = BIT64_TO_BIT32_DTYPE["float64"]
    BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        with jax.enable_x64(True):
            yield
    finally:
        BIT64_TO_BIT32_DTYPE["float64"] = before
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def _largest_deviation(path: Path, ours: Any) -> float:
    """The largest deviation from the file that Keras saved after the same steps."""
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
    "averaged and accumulated": lambda: ko.AdamW(0.01, use_ema=True, ema_momentum=0.6, gradient_accumulation_steps=2),
}
CONSTRAINTS: dict[str, Callable[[], Any]] = {
    "max norm": lambda: keras.constraints.MaxNorm(0.5),
    "not negative": lambda: keras.constraints.NonNeg(),
    "unit norm": lambda: keras.constraints.UnitNorm(),
    "norm between": lambda: keras.constraints.MinMaxNorm(0.3, 0.6, rate=0.5),
}


def _continue(optimizer: Any, folder: Path, dtype: str, form: str = "keras") -> float:
    """The largest deviation from Keras after further steps."""
    x, y = _batches(dtype)
    trainee = _trainee(dtype)
    trainee.compile_with(optimizer)
    trainee.steps(x[:BEFORE], y[:BEFORE])
    before = save(trainee.model, folder / f"before.{form}")
    assert jconv.keras.load_training(before).steps == BEFORE
    trainee.steps(x[BEFORE:], y[BEFORE:])
    after = save(trainee.model, folder / f"after.{form}")
    return _largest_deviation(after, _ours(before, x[BEFORE:], y[BEFORE:]))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", RULES)
def test_continues_as_keras_in_float64(name: str, tmp_path: Path) -> None:
    with _float64():
        assert _continue(RULES[name](), tmp_path, "float64") < 1e-10


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    "name", ["sgd momentum", "adam", "adam amsgrad", "adamw", "rmsprop centered", "adagrad", "lion", "averaged"]
)
def test_continues_as_keras_in_float32(name: str, tmp_path: Path) -> None:
    assert _continue(RULES[name](), tmp_path, "float32", "h5" if "a" in name else "keras") < 1e-5


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_continues_as_keras_with_constraints(name: str, tmp_path: Path) -> None:
    with _float64():
        convolution, normalization, second, *_ = [la for la in _trainee("float64").model.layers if la.weights]
        constraint = CONSTRAINTS[name]()
        arrays = [(convolution, "kernel"), (normalization, "beta"), (second, "kernel")]
        try:
            for layer, array in arrays:
                setattr(layer, f"{array}_constraint", constraint)
                getattr(layer, array).constraint = constraint
            assert _continue(ko.SGD(0.05, momentum=0.5), tmp_path, "float64") < 1e-10
        finally:
            for layer, array in arrays:
                setattr(layer, f"{array}_constraint", None)
                getattr(layer, array).constraint = None


def _example() -> str:
    """The example in the docstring of `load_training`."""
    text = inspect.getdoc(jconv.keras.load_training).split("::\n")[1]
    return textwrap.dedent(text[: text.index("A model with random layers")])


def test_the_example_in_the_docstring_follows_train_on_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    x = keras.Input((6, 2))
    h = kl.Conv1D(3, 3, activation="tanh", kernel_regularizer="l2")(x)
    model = keras.Model(x, kl.Dense(2, activation="softmax")(kl.GlobalAveragePooling1D()(h)))
    optimizer = ko.Adam(0.01, gradient_accumulation_steps=2, loss_scale_factor=8.0)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    rng = np.random.default_rng(0)
    xs, ys = rng.standard_normal((7, 4, 6, 2)).astype("float32"), np.eye(2, dtype="float32")[rng.integers(0, 2, (7, 4))]
    for one_x, one_y in zip(xs[:3], ys[:3], strict=True):
        model.train_on_batch(one_x, one_y)
    save(model, Path("some.keras"))
    namespace: dict[str, Any] = {}
    exec(_example(), namespace)
    carry = namespace["params"], namespace["state"], namespace["slots"]
    for one_x, one_y in zip(xs[3:], ys[3:], strict=True):
        model.train_on_batch(one_x, one_y)
        carry = namespace["step"](*carry, one_x, one_y)
    assert _largest_deviation(save(model, Path("after.keras")), carry) < 1e-5


def _varied() -> Any:
    """Layers with many kinds of arrays, a nested model, a layer called twice, and a frozen layer."""
    r = keras.regularizers
    x = keras.Input((8, 4))
    inner_x = keras.Input((8, 4))
    inner = keras.Model(inner_x, kl.LayerNormalization()(kl.Conv1D(4, 1, kernel_regularizer="l1")(inner_x)))
    frozen = kl.Conv1D(4, 1, kernel_regularizer="l2")
    frozen.trainable = False
    twice = kl.Dense(4, kernel_regularizer=r.L2(0.3), bias_regularizer=r.L1(0.2))
    h = inner(twice(frozen(kl.PReLU(alpha_regularizer="l2")(x))))
    h = kl.SeparableConv1D(4, 3, padding="same", depthwise_regularizer="l1", pointwise_regularizer=r.L1L2(0.1, 0.2))(h)
    h = kl.DepthwiseConv1D(3, padding="same", depthwise_regularizer=r.L2(0.5))(h)
    h = kl.MultiHeadAttention(2, 3, kernel_regularizer=r.L2(0.1), bias_regularizer=r.L1(0.1))(h, h)
    h = kl.BatchNormalization(gamma_regularizer=r.L2(0.1), beta_regularizer=r.L2(0.2))(twice(h))
    lstm = kl.LSTM(2, return_sequences=True, recurrent_regularizer=r.L2(0.3), kernel_regularizer=r.L1(0.1))
    gru = kl.GRU(2, return_sequences=True, go_backwards=True, bias_regularizer=r.L2(0.7))
    h = kl.Bidirectional(lstm, backward_layer=gru)(h)
    h = kl.Bidirectional(kl.SimpleRNN(2, return_sequences=True, recurrent_regularizer=r.L1(0.4)))(h)
    h = kl.TimeDistributed(keras.Sequential([keras.Input((4,)), kl.Dense(4, bias_regularizer=r.L1(0.6))]))(h)
    h = kl.TimeDistributed(kl.Dense(4, kernel_regularizer=r.L1(0.6)))(h)
    return keras.Model(x, kl.EinsumDense("btc,cd->btd", (8, 2), bias_axes="d", kernel_regularizer="l2")(h))


def test_every_slot_belongs_to_its_array(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = _varied()
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).standard_normal(weight.shape))
    model.compile(ko.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    slots = model.optimizer.variables[2:]
    # Each slot has the values of its array, so that swapped slots are detected.
    for variable, mean, square in zip(model.trainable_variables, slots[::2], slots[1::2], strict=True):
        mean.assign(variable)
        square.assign(2 * variable)
    for path in (save(model, tmp_path / "a.keras"), save(model, tmp_path / "a.h5")):
        _, params, _ = jconv.keras.load(path)
        training = jconv.keras.load_training(path)
        adam = training.state[0]
        assert isinstance(adam, optax.ScaleByAdamState)
        assert jax.tree.structure(adam.mu) == jax.tree.structure(params)
        for mean, square, array in zip(*map(jax.tree.leaves, (adam.mu, adam.nu, params)), strict=True):
            np.testing.assert_array_equal(mean, array)
            np.testing.assert_array_equal(square, 2 * array)
    expected = float(sum(model.losses))
    assert float(training.penalty(params)) == pytest.approx(expected, rel=1e-6)
    assert training.penalty.reference(jax.tree.map(np.asarray, params)) == pytest.approx(expected, rel=1e-6)


def test_the_gradient_of_the_penalty_equals_complex_step_derivatives() -> None:
    with _float64():
        params = {"a": {"kernel": np.random.default_rng(0).standard_normal((5, 3))}}
        terms = [L1L2(0.1, 0.2), Orthogonal(0.3), Orthogonal(0.4, "columns")]
        penalty = WeightPenalty(tuple(("a", "kernel", term) for term in terms))
        bar = jax.jit(jax.grad(penalty))(params)["a"]["kernel"]
        for index in np.ndindex(5, 3):
            moved = params["a"]["kernel"] + 0j
            moved[index] += 1e-30j
            assert penalty.reference({"a": {"kernel": moved}}).imag / 1e-30 == pytest.approx(
                float(bar[index]), abs=1e-13
            )
