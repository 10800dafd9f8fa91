"""A network that Keras saved, to be trained further: its params and, if it was compiled, its optimizer."""

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

from ..arrays import Tree
from ..errors import UserError

SUFFIXES = (".keras", ".h5", ".hdf5")
# Fields of layers that control random changes in training.
RANDOM_FIELDS = ("rate", "stddev", "dropout", "recurrent_dropout")


class Pretrained(NamedTuple):
    """A network from a file: its params and state, and the training options that Keras saved.

    With `keeps_optimizer` training continues with the file's optimizer, its state and schedule. Otherwise
    `training.optimizer` only applies the constraints of weights, after the updates of a new optimizer. `description`
    is a line about this for the user.
    """

    params: Tree
    state: Tree
    training: Training
    keeps_optimizer: bool
    description: str


def is_file(model: str) -> bool:
    """Whether the value of `--model` is a file, not the name of a network.

    >>> is_file("some.keras"), is_file("fcn")
    (True, False)
    """
    return Path(model).suffix in SUFFIXES or Path(model).exists()


def load(path: str, learning_rate: float | None, new_optimizer: str | None = None) -> tuple[Model, Pretrained]:
    """The network of a file, and the state in which its training starts.

    Args:
        path: a file that Keras saved.
        learning_rate: replaces the rate of the file's optimizer; None keeps it.
        new_optimizer: the name of the optimizer that replaces the file's; None keeps it, if the file has one.

    Raises:
        UserError: for a file that cannot be read, and for a network that could not be saved again.
    """
    try:
        # Keeps the types of the file; training converts them later.
        with jax.enable_x64(True):
            model, params, state = jconv.keras.load(path)
            training, words = _training(path, learning_rate, new_optimizer)
        words = f"its weights; {words}{_penalties(training)}"
        start = Pretrained(params, state, training, training.rule is not None, words)
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder) / "model.keras", model, start, params, state, training.state)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, ImportError) as error:
        raise UserError(f"{path}: {error}") from None
    return model, start


def save(path: Path, model: Model, start: Pretrained, params: Tree, state: Tree, slots: Any, shape: Any = None) -> None:
    """Write a `.keras` file of the trained network, with the optimizer and its state (`slots`) if it was the file's."""
    training = start.training
    keeps = start.keeps_optimizer and training.compiled.optimizer is not None
    written = replace(training, state=slots) if keeps else None
    jconv.keras.save(path, model, params, state, input_shape=shape, training=written)


def without_randomness(value: Any) -> Any:
    """The model or layer without dropout and other random changes in training.

    >>> from jconv.layers import Dropout
    >>> without_randomness(Dropout(0.5)).rate
    0.0
    """
    if isinstance(value, Model):
        nodes = (replace(node, layer=without_randomness(node.layer)) for node in value.nodes)
        return replace(value, nodes=tuple(nodes))
    changes: dict[str, Any] = {}
    for field in fields(value):
        held = getattr(value, field.name)
        if field.name in RANDOM_FIELDS and isinstance(held, float):
            changes[field.name] = 0.0
        elif is_dataclass(held):
            changes[field.name] = without_randomness(held)
    return replace(value, **changes) if changes else value


def _training(path: str, learning_rate: float | None, new_optimizer: str | None) -> tuple[Training, str]:
    """The training options, and a description of them for the user."""
    if new_optimizer is None:
        try:
            training = jconv.keras.load_training(path, learning_rate=learning_rate)
        except jconv.keras.NotCompiledError:
            why = "not compiled; new optimizer adam"
        except jconv.keras.KerasFileError as error:
            why = f"{error}; new optimizer adam"
        else:
            words = f"{training.name} after {training.steps:,} steps, learning rate {training.learning_rate:.3g}"
            return training, words
    else:
        why = f"new optimizer {new_optimizer}"
    return jconv.keras.load_training(path, optimizer=optax.identity()), why


def _penalties(training: Training) -> str:
    counts = {"array": len(training.penalty.terms), "output": len(training.activity.terms)}
    words = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return f"; penalties on {' and '.join(words)}" if words else ""
