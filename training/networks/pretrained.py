"""A network that Keras saved, to train on: its arrays, and its optimizer where it was compiled."""

from __future__ import annotations

import tempfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

import jconv.keras
from jconv import Model
from jconv.keras import Training

from ..errors import UserError

Tree = dict[str, dict[str, Any]]

SUFFIXES = (".keras", ".h5", ".hdf5")
# Fields of layers that say how much is drawn at random in training.
AMOUNTS = ("rate", "stddev", "dropout", "recurrent_dropout")


class Pretrained(NamedTuple):
    """A network from a file: its params and state, and how Keras trained it.

    `keeps_optimizer` says that training continues the file's optimizer, with its state and schedule. Otherwise
    `training.optimizer` only applies the constraints of weights, after the updates of a new optimizer. `description`
    says all that in words.
    """

    params: Tree
    state: Tree
    training: Training
    keeps_optimizer: bool
    description: str


def is_file(model: str) -> bool:
    """Whether `--model` names a file rather than one of the networks.

    >>> is_file("some.keras"), is_file("fcn")
    (True, False)
    """
    return Path(model).suffix in SUFFIXES or Path(model).exists()


def load(path: str, learning_rate: float | None, fresh: str | None = None) -> tuple[Model, Pretrained]:
    """The network of a file, and where its training begins; `learning_rate` takes the place of its optimizer's.

    `fresh` names the optimizer that takes the place of the file's. Raises `UserError` for a file that cannot be read,
    and for a network that could not be saved again.
    """
    try:
        # In the file's own types; training then brings them to its own.
        with jax.enable_x64(True):
            model, params, state = jconv.keras.load(path)
            training, words = _training(path, learning_rate, fresh)
        start = Pretrained(params, state, training, training.rule is not None, words)
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder) / "model.keras", model, start, params, state, training.state)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, ImportError) as error:
        raise UserError(f"{path}: {error}") from None
    return model, start


def save(path: Path, model: Model, start: Pretrained, params: Tree, state: Tree, slots: Any, shape: Any = None) -> None:
    """Write a `.keras` file of a network that was trained on, with the file's own optimizer where it has Keras's."""
    training = start.training
    kept = start.keeps_optimizer and training.compiled.optimizer is not None
    written = replace(training, state=slots) if kept else None
    jconv.keras.save(path, model, params, state, input_shape=shape, training=written)


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


def _training(path: str, learning_rate: float | None, fresh: str | None) -> tuple[Training, str]:
    """How training goes on, and the words for it: with the file's optimizer, or for one that begins afresh."""
    if fresh is None:
        try:
            training = jconv.keras.load_training(path, learning_rate=learning_rate)
        except jconv.keras.NotCompiledError:
            why = "not compiled, so adam begins afresh"
        except jconv.keras.KerasFileError as error:
            why = f"{error}; so adam begins afresh"
        else:
            words = f"{training.name} after {training.steps:,} steps, learning rate {training.learning_rate:.3g}"
            return training, f"its weights; {words}{_penalties(training)}"
    else:
        why = f"{fresh} begins afresh"
    training = jconv.keras.load_training(path, optimizer=optax.identity())
    return training, f"its weights; {why}{_penalties(training)}"


def _penalties(training: Training) -> str:
    counts = {"array": len(training.penalty.terms), "output": len(training.activity.terms)}
    words = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return f"; penalties on {' and '.join(words)}" if words else ""
