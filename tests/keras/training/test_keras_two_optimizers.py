"""Optimizers in files of standalone Keras 2.0 to 2.3, made by changing files of Keras 2.15's legacy optimizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

import jconv.keras
from tests.keras.training.test_keras_two_training import unpacked
from tests.support.keras_files import deviation, one_layer_model, save

Change = Callable[[list[Any], dict[str, Any]], list[Any]]


def with_changed_arrays(path: Path, change: Change) -> Path:
    """Replace the arrays of the optimizer in a file by `change(arrays, options)`."""
    with h5py.File(path, "r+") as opened:
        file: Any = opened
        training = json.loads(file.attrs["training_config"])
        group = file["optimizer_weights"]
        arrays = [group[name][()] for name in group.attrs["weight_names"]]
        arrays = change(arrays, training["optimizer_config"]["config"])
        del file["optimizer_weights"]
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = np.array([f"training/param_{i}:0" for i in range(len(arrays))], "S")
        for i, array in enumerate(arrays):
            group[f"training/param_{i}:0"] = array
        file.attrs["training_config"] = json.dumps(training)
    return path


def without_amsgrad(arrays: list[Any], options: dict[str, Any]) -> list[Any]:
    options["amsgrad"] = False
    return arrays[: 1 + (len(arrays) - 1) // 3 * 2]


def with_placeholders(arrays: list[Any], options: dict[str, Any]) -> list[Any]:
    moments = without_amsgrad(arrays, options)
    return moments + [np.zeros(1, np.float32)] * ((len(moments) - 1) // 2)


def without_count(arrays: list[Any], options: dict[str, Any]) -> list[Any]:
    return arrays[1:]


def with_float_count(arrays: list[Any], options: dict[str, Any]) -> list[Any]:
    return [np.float32(arrays[0]), *arrays[1:]]


def same_state(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_adam_with_unused_arrays_of_one_element_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    plain = jconv.keras.load_training(with_changed_arrays(unpacked("legacy_adam.h5", tmp_path / "a"), without_amsgrad))
    training = jconv.keras.load_training(with_changed_arrays(unpacked("legacy_adam.h5", tmp_path), with_placeholders))
    assert training.steps == plain.steps == 3 and same_state(training.state, plain.state)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(training.state) if np.ndim(leaf))


def test_other_counts_of_arrays_are_refused(tmp_path: Path) -> None:
    def wide(arrays: list[Any], options: dict[str, Any]) -> list[Any]:
        moments = with_placeholders(arrays, options)
        return [*moments[:-1], np.zeros(2, np.float32)]

    with pytest.raises(jconv.keras.KerasFileError, match=r"must have numbers of shape \(1,\), got float32 of shape"):
        jconv.keras.load_training(with_changed_arrays(unpacked("legacy_adam.h5", tmp_path), wide))
    with pytest.raises(jconv.keras.KerasFileError, match="the optimizer has"):
        jconv.keras.load_training(
            with_changed_arrays(unpacked("legacy_adam.h5", tmp_path), lambda arrays, _: arrays[:-1])
        )


@pytest.mark.parametrize("name", ["legacy_rmsprop", "legacy_adagrad"])
def test_optimizers_without_a_step_count_start_at_0(name: str, tmp_path: Path) -> None:
    """RMSprop and Adagrad of Keras 2.0 to 2.2 store no step count; Keras then starts from 0, too."""
    with_count = jconv.keras.load_training(unpacked(f"{name}.h5", tmp_path))
    (tmp_path / "a").mkdir()
    path = with_changed_arrays(unpacked(f"{name}.h5", tmp_path / "a"), without_count)
    training = jconv.keras.load_training(path)
    assert (with_count.steps, training.steps) == (3, 0)
    key = "nu" if name == "legacy_rmsprop" else "sum_of_squares"
    found = [getattr(part, key) for part in jax.tree.leaves(training.state, is_leaf=lambda s: hasattr(s, key))[:1]]
    other = [getattr(part, key) for part in jax.tree.leaves(with_count.state, is_leaf=lambda s: hasattr(s, key))[:1]]
    assert same_state(found, other)


def test_a_float32_step_count_and_unused_momentum_arrays_are_read(tmp_path: Path) -> None:
    def change(arrays: list[Any], options: dict[str, Any]) -> list[Any]:
        options["momentum"] = 0.0
        return with_float_count(arrays, options)

    training = jconv.keras.load_training(with_changed_arrays(unpacked("legacy_sgd.h5", tmp_path), change))
    assert training.steps == 3


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", ["Adam", "sgd", "adamw", "RMSprop", "adagrad", "lion"])
def test_optimizers_by_name_step_as_in_keras(name: str, tmp_path: Path) -> None:
    """A `.keras` archive contains the name that was passed to `compile`."""
    model = one_layer_model()
    model.compile(name, "mse")
    path = save(model, tmp_path / "a.keras")
    training = jconv.keras.load_training(path)
    assert training.rule is not None
    assert training.rule.learning_rate == pytest.approx(float(model.optimizer.learning_rate.value))
    _, params, state = jconv.keras.load(path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, *model.input_shape[1:])).astype("float32")
    y = rng.standard_normal((4, *model.output_shape[1:])).astype("float32")
    model.train_on_batch(x, y)
    bars, _ = jax.grad(training.objective, has_aux=True)(params, state, x, y)
    updates, _ = training.optimizer.update(bars, training.state, params)
    moved = jax.tree.map(lambda p, u: np.asarray(p) + np.asarray(u), params, updates)
    for key, arrays in moved.items():
        theirs = [np.asarray(w.value) for w in model.get_layer(key).trainable_weights]
        for own, want in zip(params[key], theirs, strict=True):
            assert deviation(arrays[own], want) < 1e-5
