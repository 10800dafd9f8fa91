"""Activity regularizers contribute to the objective as in Keras."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import optax
import pytest
from keras import layers as kl

import jconv.keras
from tests.support.keras_files import deviation, save

R = keras.regularizers


def _chain(*layers: Any, shape: tuple[int, ...] = (6, 3)) -> Any:
    x = y = keras.Input(shape)
    for layer in layers:
        y = layer(y)
        y = y[0] if isinstance(y, (list, tuple)) else y
    return keras.Model(x, y)


def _twice() -> Any:
    """A layer called twice, and a model called twice with a regularizer inside."""
    x = keras.Input((6, 3))
    inner_x = keras.Input((6, 3))
    inner = keras.Model(inner_x, kl.Dense(3, activation="tanh", activity_regularizer=R.L1(0.2))(inner_x))
    dense = kl.Dense(3, activity_regularizer=R.L2(0.3))
    return keras.Model(x, dense(inner(dense(inner(x)))))


def _half() -> Any:
    return _chain(kl.Conv1D(4, 3, activity_regularizer=R.L2(0.1), dtype="mixed_bfloat16"), kl.Dense(2, dtype="float32"))


MODELS: dict[str, Callable[[], Any]] = {
    "dense": lambda: _chain(kl.Dense(2, activity_regularizer=R.L1L2(0.1, 0.2), kernel_regularizer="l2")),
    "layer": lambda: _chain(kl.Conv1D(4, 3), kl.ActivityRegularization(0.1, 0.2), kl.ActivityRegularization()),
    "activation": lambda: _chain(kl.Conv1D(2, 3), kl.ReLU(activity_regularizer=R.L1(0.5))),
    "channels first": lambda: _chain(kl.MaxPooling1D(2, data_format="channels_first", activity_regularizer="l2")),
    "frozen": lambda: _chain(kl.Dense(3), kl.Dense(2, trainable=False, activity_regularizer="l2")),
    "matrix": lambda: _chain(kl.Flatten(), kl.Dense(5, activity_regularizer=R.OrthogonalRegularizer(0.3))),
    "states": lambda: _chain(kl.LSTM(2, return_state=True, activity_regularizer=R.L2(0.3))),
    "outer": lambda: _chain(kl.Bidirectional(kl.GRU(2), merge_mode="mul", activity_regularizer=R.L2(0.4))),
    "both sides": lambda: _chain(kl.Bidirectional(kl.GRU(2, activity_regularizer=R.L1(0.4)))),
    "over time": lambda: _chain(kl.TimeDistributed(kl.Dense(2), activity_regularizer=R.L2(0.4))),
    "twice": _twice,
    "half": _half,
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", MODELS)
def test_the_objective_and_its_gradient_equal_keras(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, *model.input_shape[1:])).astype("float32")
    target = rng.standard_normal((4, *model.output_shape[1:])).astype("float32")
    trained = [v.value for v in model.trainable_variables]

    def theirs(trained: Any) -> Any:
        # If a layer is called several times, `stateless_call` keeps only its last loss; calling the model keeps all.
        given = zip(model.trainable_variables, trained, strict=True)
        with keras.StatelessScope(given, collect_losses=True):
            y = model(x, training=True)
            return keras.ops.mean((y - target) ** 2) + sum(model.losses), model.losses

    (want, losses), bars = jax.jit(jax.value_and_grad(theirs, has_aux=True))(trained)
    assert losses
    path = save(model, tmp_path / ("a.h5" if name in ("dense", "layer", "twice") else "a.keras"))
    _, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    (value, (y, _)), ours = jax.jit(jax.value_and_grad(training.objective, has_aux=True))(params, state, x, target)
    within = 1e-2 if name == "half" else 1e-5
    assert float(value) == pytest.approx(float(want), rel=within)
    values = training.model.reference_values(params, state, x, training=True)
    exact = training.penalty.reference(params) + training.activity.reference(values)
    assert exact == pytest.approx(float(sum(losses)), rel=within)
    # Keras's gradients, saved in place of the weights, are assigned to jconv's names by the loader.
    for variable, bar in zip(model.trainable_variables, bars, strict=True):
        variable.assign(bar)
    _, expected, _ = jconv.keras.load(save(model, tmp_path / "bars.keras"))
    for key, arrays in expected.items():
        for array, bar in arrays.items():
            assert deviation(ours[key][array], bar, 1e-3) < within, (key, array)
    assert y.shape == target.shape


def test_training_continues_as_in_keras(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layers = kl.Conv1D(4, 3, activation="tanh", activity_regularizer=R.L2(0.1)), kl.ActivityRegularization(0.05)
    model = _chain(*layers, kl.GlobalAveragePooling1D(), kl.Dense(2, kernel_regularizer="l1"))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    rng = np.random.default_rng(0)
    xs, targets = (rng.standard_normal((7, 4, *shape)).astype("float32") for shape in ((6, 3), (2,)))
    model.train_on_batch(xs[0], targets[0])
    path = save(model, tmp_path / "a.keras")
    _, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    slots, gradient = training.state, jax.jit(jax.grad(training.objective, has_aux=True))
    for x, target in zip(xs[1:], targets[1:], strict=True):
        model.train_on_batch(x, target)
        bars, (_, state) = gradient(params, state, x, target)
        updates, slots = training.optimizer.update(bars, slots, params)
        params = optax.apply_updates(params, updates)
    _, expected, _ = jconv.keras.load(save(model, tmp_path / "after.keras"))
    assert max(deviation(a, b) for a, b in zip(*map(jax.tree.leaves, (params, expected)), strict=True)) < 1e-5


INSIDE = "the activity_regularizer of a layer inside another layer is not supported in training"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "merged": (lambda: _chain(kl.Bidirectional(kl.GRU(2, activity_regularizer="l2"), merge_mode="sum")), INSIDE),
    "over time": (lambda: _chain(kl.TimeDistributed(kl.Dense(2, activity_regularizer="l2"))), INSIDE),
    "attention": (lambda: _attention(), INSIDE),
    "no matrix": (
        lambda: _chain(kl.Dense(2, activity_regularizer=R.OrthogonalRegularizer())),
        "the orthogonal regularizer needs a matrix, and the output has shape .None, 6, 2.",
    ),
    "own": (lambda: _chain(kl.Dense(2, activity_regularizer=Own())), "is not part of Keras, and is not imported"),
}


class Own(R.Regularizer):
    def __call__(self, x: Any) -> Any:
        return keras.ops.sum(x)

    def get_config(self) -> dict[str, Any]:
        return {}


def _attention() -> Any:
    x = keras.Input((6, 3))
    return keras.Model(x, kl.MultiHeadAttention(2, 3, activity_regularizer="l2")(x, x))


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_regularizers_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    model = make()
    model.compile("sgd", "mse")
    path = save(model, tmp_path / "a.keras")
    with pytest.raises(jconv.keras.KerasFileError, match=message) as caught:
        jconv.keras.load_training(path)
    assert "\n" not in str(caught.value)


def test_an_objective_without_a_loss_raises(tmp_path: Path) -> None:
    model = _chain(kl.Dense(2, activity_regularizer="l2"))
    model.compile("sgd")
    path = save(model, tmp_path / "a.keras")
    _, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    x = np.ones((2, 6, 3), "float32")
    with pytest.raises(ValueError, match=re.escape("loss must be given: the model was compiled without a loss")):
        training.objective(params, state, x, x)
    value, _ = training.objective(params, state, x, None, loss=lambda y, target: 0.0)
    assert float(value) == pytest.approx(float(training.activity(training.model.values(params, state, x)[0])))
