"""Training goes on in jconv as it would have gone on in real Keras: rules, options, schedules, penalties, losses."""

from __future__ import annotations

import inspect
import json
import re
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
from keras.src.losses.losses import LossFunctionWrapper
from keras_files import deviation

import jconv.keras
from jconv.keras.losses import read_single_loss
from jconv.keras.regularizers import Orthogonal, Penalty, Sum

pytestmark = pytest.mark.usefixtures("quick_compile")

BEFORE, AFTER, BATCH = 5, 20, 4
S = ko.schedules


@dataclass
class Trainee:
    """A Keras model, its first weights, and its gradient, compiled once for all optimizers."""

    model: Any
    weights: list[Any]
    gradient: Callable[..., Any]
    apply: Any = None

    def compiled(self, optimizer: Any) -> None:
        """Begin again with an optimizer."""
        self.model.set_weights(self.weights)
        self.model.compile(optimizer, "mse")
        optimizer.build(self.model.trainable_variables)
        self.apply = jax.jit(optimizer.stateless_apply)

    def steps(self, x: Any, y: Any) -> None:
        """A step of Keras's for each batch: what `train_on_batch` does, in two compiled pieces."""
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
    """Keras in float64, which on JAX it is not by itself: by a table of types many operations give float32."""
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
    "averaged and accumulated": lambda: ko.AdamW(0.01, use_ema=True, ema_momentum=0.6, gradient_accumulation_steps=2),
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
        assert _goes_on(RULES[name](), tmp_path, "float64") < 1e-10


@pytest.mark.parametrize(
    "name", ["sgd momentum", "adam", "adam amsgrad", "adamw", "rmsprop centered", "adagrad", "lion", "averaged"]
)
def test_goes_on_as_keras_in_float32(name: str, tmp_path: Path) -> None:
    assert _goes_on(RULES[name](), tmp_path, "float32", "h5" if "a" in name else "keras") < 1e-5


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name: str, tmp_path: Path) -> None:
    with _float64():
        convolution, normalization, second, *_ = [la for la in _trainee("float64").model.layers if la.weights]
        constraint = CONSTRAINTS[name]()
        arrays = [(convolution, "kernel"), (normalization, "beta"), (second, "kernel")]
        try:
            for layer, array in arrays:
                setattr(layer, f"{array}_constraint", constraint)
                getattr(layer, array).constraint = constraint
            assert _goes_on(ko.SGD(0.05, momentum=0.5), tmp_path, "float64") < 1e-10
        finally:
            for layer, array in arrays:
                setattr(layer, f"{array}_constraint", None)
                getattr(layer, array).constraint = None


def _example() -> str:
    """The loop in the docstring."""
    text = inspect.getdoc(jconv.keras.load_training).split("::\n")[1]
    return textwrap.dedent(text[: text.index("A model with layers that draw")])


def test_the_loop_of_the_docstring_follows_train_on_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    _saved(model, Path("some.keras"))
    room: dict[str, Any] = {}
    exec(_example(), room)
    carry = room["params"], room["state"], room["slots"]
    for one_x, one_y in zip(xs[3:], ys[3:], strict=True):
        model.train_on_batch(one_x, one_y)
        carry = room["step"](*carry, one_x, one_y)
    assert _furthest(_saved(model, Path("after.keras")), carry) < 1e-5


def _varied() -> Any:
    """Layers whose arrays lie in various ways, a model in a model, a layer called twice, frozen layers."""
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
    # With each array's own value in its slots, a slot in a wrong place shows.
    for variable, mean, square in zip(model.trainable_variables, slots[::2], slots[1::2], strict=True):
        mean.assign(variable)
        square.assign(2 * variable)
    for path in (_saved(model, tmp_path / "a.keras"), _saved(model, tmp_path / "a.h5")):
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


def test_the_reference_of_the_penalty_has_its_gradient() -> None:
    with _float64():
        params = {"a": {"kernel": np.random.default_rng(0).standard_normal((5, 3))}}
        terms = [Sum(0.1, 0.2), Orthogonal(0.3), Orthogonal(0.4, "columns")]
        penalty = Penalty(tuple(("a", "kernel", term) for term in terms))
        bar = jax.jit(jax.grad(penalty))(params)["a"]["kernel"]
        for index in np.ndindex(5, 3):
            moved = params["a"]["kernel"] + 0j
            moved[index] += 1e-30j
            assert penalty.reference({"a": {"kernel": moved}}).imag / 1e-30 == pytest.approx(
                float(bar[index]), abs=1e-13
            )


L = keras.losses
ONE_HOT = np.eye(3, dtype="float32")[[0, 2, 1, 1]]
LOSSES: dict[str, tuple[Any, Any]] = {
    **{name: (name, "numbers") for name in ("mse", "mean_absolute_error", "mape", "msle")},
    "huber": ("huber", "numbers"),
    "log_cosh": (L.LogCosh(reduction="sum"), "numbers"),
    "cosine": (L.CosineSimilarity(), "numbers"),
    "hinge": ("hinge", "binary"),
    "squared_hinge": (L.SquaredHinge(), "signs"),
    "categorical_hinge": ("categorical_hinge", "one-hot"),
    "kl": (L.KLDivergence(), "one-hot"),
    "poisson": ("poisson", "binary"),
    "binary": ("binary_crossentropy", "binary"),
    "binary logits": (L.BinaryCrossentropy(from_logits=True, label_smoothing=0.2), "binary"),
    "binary focal": (L.BinaryFocalCrossentropy(apply_class_balancing=True, label_smoothing=0.1), "binary"),
    "binary focal logits": (L.BinaryFocalCrossentropy(from_logits=True, gamma=1.5), "binary"),
    "categorical": (L.CategoricalCrossentropy(label_smoothing=0.1), "one-hot"),
    "categorical logits": (L.CategoricalCrossentropy(from_logits=True), "one-hot"),
    "categorical focal": (L.CategoricalFocalCrossentropy(alpha=0.4), "one-hot"),
    "categorical focal logits": (L.CategoricalFocalCrossentropy(from_logits=True), "one-hot"),
    "sparse": ("sparse_categorical_crossentropy", "classes"),
    "sparse logits": (L.SparseCategoricalCrossentropy(from_logits=True), "classes"),
    "sparse ignoring": (L.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1), "classes"),
    "dice": (L.Dice(), "binary"),
    "tversky": (L.Tversky(alpha=0.3, beta=0.6, axis=1), "binary"),
}


def _targets(kind: str) -> Any:
    rng = np.random.default_rng(1)
    drawn = {
        "numbers": rng.standard_normal((4, 3)).astype("float32"),
        "binary": rng.integers(0, 2, (4, 3)),
        "signs": rng.choice([-1.0, 1.0], (4, 3)).astype("float32"),
        "one-hot": ONE_HOT,
        "classes": np.array([0, 2, 1, 1]),
    }
    return drawn[kind]


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    given, kind = LOSSES[name]
    serialized = given if isinstance(given, str) else keras.losses.serialize(given)
    logits = isinstance(serialized, dict) and serialized["config"].get("from_logits")
    y = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    y = y if logits or kind in ("numbers", "signs") else np.asarray(jax.nn.softmax(y))
    target = _targets(kind)
    theirs = given if not isinstance(given, str) else L.get(given)
    theirs = theirs if isinstance(theirs, L.Loss) else LossFunctionWrapper(theirs)
    want, want_bar = jax.jit(jax.value_and_grad(lambda y: theirs(target, y)))(y)
    loss = read_single_loss(serialized, "loss")
    value, bar = jax.jit(jax.value_and_grad(lambda y: loss(y, target)))(y)
    assert float(value) == pytest.approx(float(want), rel=1e-6)
    assert deviation(bar, want_bar) < 1e-6
    assert loss.reference(y, target) == pytest.approx(float(want), rel=1e-5)
    # A derivative to the last digit, by an imaginary step.
    ray = np.random.default_rng(2).standard_normal(y.shape)
    with jax.enable_x64(True):
        exact = float(np.vdot(jax.jit(jax.grad(lambda y: loss(y, target)))(y.astype(float)), ray))
    assert loss.reference(y + 1e-30j * ray, target).imag / 1e-30 == pytest.approx(exact, rel=1e-12, abs=1e-14)


def test_a_column_and_a_row_of_numbers() -> None:
    y, target = np.ones((3, 1), "float32"), np.array([1.0, 2.0, 4.0], "float32")
    assert float(read_single_loss("mse", "loss")(y, target)) == pytest.approx(10 / 3)
    assert float(read_single_loss("mse", "loss")(y[:, 0], target[:, None])) == pytest.approx(10 / 3)


def _two_outputs(as_dict: bool = False) -> Any:
    x = keras.Input((5,))
    first, second = kl.Dense(3, activation="softmax", name="a")(x), kl.Dense(2, name="b")(x)
    return keras.Model(x, {"p": first, "q": second} if as_dict else [first, second])


SEVERAL: dict[str, tuple[bool, Any, Any]] = {
    "list": (False, ["sparse_categorical_crossentropy", "mse"], [0.5, 2.0]),
    "by name": (False, {"b": "mae", "a": L.SparseCategoricalCrossentropy()}, {"a": 0.5, "b": 2.0}),
    "by key": (True, {"p": "sparse_categorical_crossentropy", "q": "huber"}, None),
    "one alone": (False, [None, "mse"], None),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_losses_of_several_outputs(name: str, tmp_path: Path) -> None:
    as_dict, loss, weights = SEVERAL[name]
    model = _two_outputs(as_dict)
    model.compile("sgd", loss, loss_weights=weights)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 5)).astype("float32")
    targets = [np.array([0, 2, 1, 1]), rng.standard_normal((4, 2)).astype("float32")]
    outputs = model(x)
    given = dict(zip(("p", "q"), targets, strict=True)) if as_dict else targets
    want = float(model.compute_loss(x, given, outputs))
    path = _saved(model, tmp_path / "a.keras")
    ours, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    y, _ = ours.apply(params, state, x)
    assert float(training.loss(y, tuple(targets))) == pytest.approx(want, rel=1e-6)
    assert float(training.loss(y, dict(zip(ours.outputs, targets, strict=True)))) == pytest.approx(want, rel=1e-6)
    with pytest.raises(ValueError, match="target must be a dict with"):
        training.loss(y, targets[0])


def _small(layer: Any = None, shape: tuple[int, ...] = (5,)) -> Any:
    x = keras.Input(shape)
    return keras.Model(x, (layer or kl.Dense(2))(x))


def test_a_model_that_was_never_trained_begins_afresh(tmp_path: Path) -> None:
    model = _small()
    model.compile(ko.Adagrad(0.25, initial_accumulator_value=0.5), "mse")
    training = jconv.keras.load_training(_saved(model, tmp_path / "a.keras"))
    assert (training.name, training.steps, training.learning_rate) == ("Adagrad", 0, 0.25)
    assert all(np.all(np.asarray(array) == 0.5) for array in jax.tree.leaves(training.state[0].sum_of_squares))


def test_another_learning_rate(tmp_path: Path) -> None:
    model = _small()
    model.compile(ko.SGD(0.25, momentum=0.9), "mse")
    path = _saved(model, tmp_path / "a.keras")
    assert jconv.keras.load_training(path, learning_rate=0.5).learning_rate == 0.5
    training = jconv.keras.load_training(path, learning_rate=lambda count: 1 / (2 + count))
    assert training.learning_rate == 0.5 and float(training.schedule(2)) == 0.25


@pytest.mark.parametrize("rate", [1e39, 10**40, float("nan"), "fast"])
def test_a_learning_rate_that_float32_does_not_have(rate: Any, tmp_path: Path) -> None:
    model = _small()
    model.compile(ko.SGD(0.1), "mse")
    path = _saved(model, tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"^learning_rate must be a finite number of float32, got .*$"):
        jconv.keras.load_training(path, learning_rate=rate)


def test_another_optimizer(tmp_path: Path) -> None:
    model = _small(kl.Dense(2, kernel_constraint=keras.constraints.NonNeg(), kernel_regularizer="l2"))
    model.compile(ko.Adamax(), "mse")
    path = _saved(model, tmp_path / "a.keras")
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
    with pytest.raises(ValueError, match="learning_rate must not be given beside an optimizer"):
        jconv.keras.load_training(path, optimizer=optax.sgd(1.0), learning_rate=0.1)
    training = jconv.keras.load_training(_saved(_small(), tmp_path / "b.keras"), optimizer=optax.sgd(1.0))
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
    "own": (_small, OwnLoss(), "'OwnLoss' is not Keras's own, and is not imported"),
    "unknown": (_small, L.Circle(), "the loss 'Circle' is not one that jconv has: "),
    "none": (_small, None, "the model was compiled without a loss"),
    "no number": (_small, L.MeanSquaredError(reduction="none"), "reduction must be one of sum_over_batch_size, "),
    "masked": (lambda: _small(kl.Masking(), (5, 2)), "mse", "what the mask of the output '.*' leaves out"),
}


@pytest.mark.parametrize("name", NO_LOSS)
def test_a_loss_that_jconv_cannot_have_is_none_and_why(name: str, tmp_path: Path) -> None:
    make, loss, why = NO_LOSS[name]
    model = make()
    model.compile("sgd", loss)
    training = jconv.keras.load_training(_saved(model, tmp_path / "a.keras"))
    assert training.loss is None
    assert re.search(why, training.why_no_loss) and "\n" not in training.why_no_loss


REFUSED: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "optimizer": (_small, lambda: ko.Adamax(), "the optimizer 'Adamax' is not one that jconv has: SGD, Adam"),
    "schedule": (_small, lambda: ko.SGD(OwnSchedule()), "'OwnSchedule' is not Keras's own, and is not imported"),
    "regularizer": (lambda: _small(kl.Dense(2, kernel_regularizer=OwnRegularizer())), ko.SGD, "is not Keras's own"),
    "matrix": (
        lambda: _small(kl.Conv1D(2, 3, bias_regularizer=keras.regularizers.OrthogonalRegularizer()), (5, 2)),
        ko.SGD,
        "bias_regularizer does not fit an array of shape .2,.: it compares two or more rows of a matrix",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_jconv_does_not_have_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, optimizer, message = REFUSED[name]
    model = make()
    model.compile(optimizer(), "mse")
    with pytest.raises(jconv.keras.KerasFileError, match=message) as caught:
        jconv.keras.load_training(_saved(model, tmp_path / "a.keras"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_a_model_that_was_not_compiled(form: str, tmp_path: Path) -> None:
    with pytest.raises(jconv.keras.NotCompiledError, match=f"a.{form} was not compiled: it has no optimizer"):
        jconv.keras.load_training(_saved(_small(), tmp_path / f"a.{form}"))


def _changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file with another optimizer in its config."""
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
    "decay": (_set(decay=0.1), "the option 'decay' .at 0.1. is not one that jconv has"),
    "two clips": (_set(clipnorm=1.0, clipvalue=1.0), "at most one of clipnorm, global_clipnorm, clipvalue may be set"),
    "text": (_set(beta_1="0.9"), "beta_1 must be a finite number, got '0.9'"),
    "rate": (_set(learning_rate=[1]), "learning_rate must be a finite number"),
    "steps": (_set(gradient_accumulation_steps=-1), "gradient_accumulation_steps must be at least 2 or null, got -1"),
    "average": (_set(use_ema=True, ema_momentum=2.0), "ema_momentum must be from 0 to 1"),
    "slots": (_set(amsgrad=True), "has 4 arrays beside its counts, and Adam has 6 for the model's 2 trained arrays"),
    "class": (lambda optimizer: optimizer.update(class_name="Lion"), "the option 'epsilon'"),
    "module": (lambda optimizer: optimizer.update(module="os"), "'Adam' is not Keras's own, and is not imported"),
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
def test_a_file_that_is_not_what_it_must_be(name: str, tmp_path: Path) -> None:
    change, message = CHANGES[name]
    model = _small()
    model.compile(ko.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    path = _changed(_saved(model, tmp_path / "a.keras"), change)
    with pytest.raises(jconv.keras.KerasFileError, match=message) as caught:
        jconv.keras.load_training(path)
    assert "\n" not in str(caught.value)


def test_a_model_in_float16_is_refused_for_its_scaled_loss(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = _small()
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(jconv.keras.KerasFileError, match="and none that scales the loss of a model in float16"):
        jconv.keras.load_training(_saved(model, tmp_path / "a.keras"))
