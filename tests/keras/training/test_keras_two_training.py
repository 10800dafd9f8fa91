"""Training continues from files of Keras 2 as in Keras 2; see `keras_two_files/README.md` for the files."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jconv.keras
from tests.support.keras_files import deviation
from tests.support.keras_two_files.make import AFTER, BEFORE, batches
from tests.support.paths import KERAS_TWO_FILES

# Files without training state, for read/test_keras_two.py, kinds/test_tensorflow.py and kinds/test_tcn.py.
OTHERS = ("network", "operations", "tcn")
NAMES = sorted(
    path.name.removesuffix(".gz") for path in KERAS_TWO_FILES.glob("*.gz") if not path.name.startswith(OTHERS)
)


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((KERAS_TWO_FILES / f"{name}.gz").read_bytes()))
    return path


@cache
def _after() -> dict[str, Any]:
    with np.load(KERAS_TWO_FILES / "after.npz") as file:
        return dict(file)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", NAMES)
def test_training_continues_as_in_keras_2(name: str, tmp_path: Path) -> None:
    path = unpacked(name, tmp_path)
    model, params, state = jconv.keras.load(path)
    order = [(node.key, array) for node in model.nodes for tree in (params, state) for array in tree.get(node.key, ())]
    training = jconv.keras.load_training(path)
    # Keras 2 does not store the arrays of a legacy optimizer in a .keras file; one without momentum needs none.
    assert training.steps == (0 if name == "legacy_sgd.keras" else BEFORE) and training.loss is not None
    slots = training.state

    @jax.jit
    def step(params: Any, state: Any, slots: Any, x: Any, y: Any) -> Any:
        bars, (_, state) = jax.grad(training.objective, has_aux=True)(params, state, x, y)
        updates, slots = training.optimizer.update(bars, slots, params)
        return optax.apply_updates(params, updates), state, slots

    for x, y in zip(*(batch[BEFORE:] for batch in batches()), strict=True):
        params, state, slots = step(params, state, slots, x, y)
    assert len(batches()[0]) == BEFORE + AFTER
    found = [np.ravel(params[key][array] if array in params[key] else state[key][array]) for key, array in order]
    assert deviation(np.concatenate(found), _after()[name]) < 1e-5
