"""A network that Keras saved, to train on: its arrays, and its optimizer where it was compiled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import jconv.keras
from jconv import Model

from .errors import UserError

Tree = dict[str, dict[str, Any]]

SUFFIXES = (".keras", ".h5", ".hdf5")
# Fields of layers that say how much is drawn at random in training.
AMOUNTS = ("rate", "stddev", "dropout", "recurrent_dropout")


class Pretrained(NamedTuple):
    """Where training begins: the params and the state of a network, and how Keras trained it.

    `optimizer`, its state `slots` and its `schedule` of the count of steps, of which `steps` were done, are None where
    the network was not compiled. `penalty` is that of its layers' regularizers, or None. `words` say all that.
    """

    params: Tree
    state: Tree
    optimizer: optax.GradientTransformation | None
    slots: Any
    schedule: Callable[[Any], Any] | None
    steps: int
    penalty: Any
    words: str


def is_file(model: str) -> bool:
    """Whether `--model` names a file rather than one of the networks.

    >>> is_file("some.keras"), is_file("fcn")
    (True, False)
    """
    return Path(model).suffix in SUFFIXES or Path(model).exists()


def load(path: str, learning_rate: float | None) -> tuple[Model, Pretrained]:
    """The network of a file, and where its training begins; `learning_rate` takes the place of its optimizer's.

    Raises `UserError` for a file that cannot be read, and for a network that could not be saved again.
    """
    try:
        # In the file's own types; training then brings them to its own.
        with jax.enable_x64(True):
            model, params, state = jconv.keras.load(path)
            start = _start(path, learning_rate, params, state)
        with tempfile.TemporaryDirectory() as folder:
            jconv.keras.save(Path(folder) / "model.keras", model, params, state)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, ImportError) as error:
        raise UserError(f"{path}: {error}") from None
    return model, start


def still(value: Any) -> Any:
    """A model, or a layer, that draws nothing at random in training, and else computes the same.

    >>> from jconv.layers import Dropout
    >>> still(Dropout(0.5)).rate
    0.0
    """
    if isinstance(value, Model):
        return replace(value, nodes=tuple(replace(node, layer=still(node.layer)) for node in value.nodes))
    changes: dict[str, Any] = {}
    for field in fields(value):
        held = getattr(value, field.name)
        if field.name in AMOUNTS and isinstance(held, float) and held:
            changes[field.name] = 0.0
        elif is_dataclass(held) and still(held) != held:
            changes[field.name] = still(held)
    return replace(value, **changes) if changes else value


def _start(path: str, learning_rate: float | None, params: Tree, state: Tree) -> Pretrained:
    try:
        training = jconv.keras.load_training(path, learning_rate=learning_rate)
    except jconv.keras.NotCompiledError:
        return Pretrained(params, state, None, None, None, 0, None, "its weights; not compiled, so Adam begins afresh")
    rate = jnp.asarray(training.learning_rate)
    words = f"its weights; {training.name} after {training.steps:,} steps, learning rate {float(rate):.3g}"
    terms = len(training.penalty.terms)
    words += f"; penalties on {terms} array{'s' if terms > 1 else ''}" if terms else ""
    penalty = training.penalty if terms else None
    return Pretrained(
        params, state, training.optimizer, training.state, training.schedule, training.steps, penalty, words
    )
