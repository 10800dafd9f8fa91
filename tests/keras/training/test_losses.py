"""Losses have the same values and gradients as in Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers as kl
from keras.src.losses.losses import LossFunctionWrapper

import jconv.keras
from jconv.keras.training.losses import read_single_loss
from tests.support.keras_files import deviation, save

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


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_equal_keras(name: str) -> None:
    given, kind = LOSSES[name]
    serialized = given if isinstance(given, str) else keras.losses.serialize(given)
    logits = isinstance(serialized, dict) and serialized["config"].get("from_logits")
    y = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    y = y if logits or kind in ("numbers", "signs") else np.asarray(jax.nn.softmax(y))
    target = _targets(kind)
    theirs = given if not isinstance(given, str) else L.get(given)
    theirs = theirs if isinstance(theirs, L.Loss) else LossFunctionWrapper(theirs)
    want, want_bar = jax.jit(jax.value_and_grad(lambda y: theirs(target, y)))(y)
    loss = read_single_loss(serialized)
    value, bar = jax.jit(jax.value_and_grad(lambda y: loss(y, target)))(y)
    assert float(value) == pytest.approx(float(want), rel=1e-6)
    assert deviation(bar, want_bar) < 1e-6
    assert loss.reference(y, target) == pytest.approx(float(want), rel=1e-5)
    # The gradient equals the complex-step derivative of the reference.
    direction = np.random.default_rng(2).standard_normal(y.shape)
    with jax.enable_x64(True):
        exact = float(np.vdot(jax.jit(jax.grad(lambda y: loss(y, target)))(y.astype(float)), direction))
    assert loss.reference(y + 1e-30j * direction, target).imag / 1e-30 == pytest.approx(exact, rel=1e-12, abs=1e-14)


def test_shapes_may_differ_by_an_axis_of_size_1() -> None:
    y, target = np.ones((3, 1), "float32"), np.array([1.0, 2.0, 4.0], "float32")
    assert float(read_single_loss("mse")(y, target)) == pytest.approx(10 / 3)
    assert float(read_single_loss("mse")(y[:, 0], target[:, None])) == pytest.approx(10 / 3)


def _two_outputs(as_dict: bool = False) -> Any:
    x = keras.Input((5,))
    first, second = kl.Dense(3, activation="softmax", name="a")(x), kl.Dense(2, name="b")(x)
    return keras.Model(x, {"p": first, "q": second} if as_dict else [first, second])


SEVERAL: dict[str, tuple[bool, Any, Any]] = {
    "list": (False, ["sparse_categorical_crossentropy", "mse"], [0.5, 2.0]),
    "by name": (False, {"b": "mae", "a": L.SparseCategoricalCrossentropy()}, {"a": 0.5, "b": 2.0}),
    "by key": (True, {"p": "sparse_categorical_crossentropy", "q": "huber"}, None),
    "second output only": (False, [None, "mse"], None),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", SEVERAL)
def test_losses_of_several_outputs_equal_keras(name: str, tmp_path: Path) -> None:
    as_dict, loss, weights = SEVERAL[name]
    model = _two_outputs(as_dict)
    model.compile("sgd", loss, loss_weights=weights)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 5)).astype("float32")
    targets = [np.array([0, 2, 1, 1]), rng.standard_normal((4, 2)).astype("float32")]
    outputs = model(x)
    given = dict(zip(("p", "q"), targets, strict=True)) if as_dict else targets
    want = float(model.compute_loss(x, given, outputs))
    path = save(model, tmp_path / "a.keras")
    ours, params, state = jconv.keras.load(path)
    training = jconv.keras.load_training(path)
    y, _ = ours.apply(params, state, x)
    assert float(training.loss(y, tuple(targets))) == pytest.approx(want, rel=1e-6)
    assert float(training.loss(y, dict(zip(ours.outputs, targets, strict=True)))) == pytest.approx(want, rel=1e-6)
    with pytest.raises(ValueError, match="target must be a dict with"):
        training.loss(y, targets[0])
