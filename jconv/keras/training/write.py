"""A `Training` into a written model: layers' options, the compile config, and the optimizer's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..files.errors import KerasFileError
from ..read.parts import Part, snake_case
from ..write.config import Written
from .optimizer import read_optimizer
from .optimizer_state import FOLDER
from .weight_options import pieces_of

if TYPE_CHECKING:
    from .state import Training

Array = np.ndarray[Any, Any]


def write_training(written: Written, training: Training) -> tuple[dict[str, Array], dict[str, str]]:
    """Put the training into the config of a written model.

    Returns the optimizer's arrays by their path, and the name that Keras writes beside them by their folder.

    Raises `KerasFileError` for an optimizer that Keras 3 does not have, for options of a layer that the written model
    does not have, and for a state that is not of the optimizer or does not fit the params.
    """
    compiled = training.compiled
    if compiled.optimizer is None:
        raise KerasFileError(f"training has an optimizer that Keras does not have: {compiled.why}")
    _write_options(written, compiled.options)
    losses = [compiled.losses.get(name) for name in training.model.outputs]
    weights = {term.output: term.weight for term in training.loss.terms} if training.loss else {}
    shares = [weights.get(name) for name in training.model.outputs]
    single = len(losses) == 1
    shares = [1.0 if share is None else share for share in shares] if any(s is not None for s in shares) else None
    written.config["compile_config"] = {
        "optimizer": compiled.optimizer,
        "loss": losses[0] if single else losses if any(losses) else None,
        "loss_weights": shares,
        "metrics": None,
        "weighted_metrics": None,
    }
    arrays = _arrays(written.root.leaves(), training, compiled.optimizer)
    return arrays, {f"{FOLDER}vars": snake_case(training.name)}


def _write_options(written: Written, options: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    parts = {part.key: part for part in written.root.leaves()}
    for key, by_prefix in options.items():
        pieces: dict[str, list[Any]] = {}
        for piece in pieces_of(parts[key]) if key in parts else ():
            pieces.setdefault(piece.prefix, []).append(piece.config)
        for prefix, found in by_prefix.items():
            if prefix not in pieces:
                raise KerasFileError(
                    f"training has {', '.join(found)} for {f'{key}/{prefix}'[:-1] if prefix else key!a}, a layer that "
                    "the written model does not have"
                )
            for config in pieces[prefix]:
                config.update(found)


def _arrays(parts: list[Part], training: Training, optimizer: dict[str, Any]) -> dict[str, Array]:
    rule = read_optimizer(optimizer, "optimizer", {})
    shapes = {}
    for part in parts:
        assert part.layer is not None
        shapes |= {(part.key, name): tuple(s) for name, s in part.layer.param_shapes(part.input_shape).items()}
    listed: list[Any] = [np.asarray(training.steps, np.int32)]
    double = any(a.dtype == jnp.float64 for a in jax.tree.leaves(training.state))
    if rule.stores_rate:
        listed.append(np.asarray(training.learning_rate, np.float64 if double else np.float32))
    for group in rule.slots:
        trees = {slot: _found(training.state, slot) for slot in group}
        for (key, name), shape in shapes.items():
            for slot, tree in trees.items():
                array = None if tree is None else tree.get(key, {}).get(name)
                if array is None or tuple(array.shape) != shape:
                    got = "none" if array is None else f"one of shape {tuple(array.shape)}"
                    raise KerasFileError(
                        f"training's state must have an array {slot!a} of shape {shape} for {key!a} {name!a}, got {got}"
                    )
                listed.append(np.asarray(array))
    return {f"{FOLDER}vars/{number}": array for number, array in enumerate(listed)}


def _found(state: Any, slot: str) -> Any:
    """The tree of a slot in a state, by the name of its field; None where there is none."""
    if slot in getattr(state, "_fields", ()):
        return getattr(state, slot)
    parts = [part for part in state if isinstance(part, tuple)] if isinstance(state, tuple) else []
    return next((tree for part in parts if (tree := _found(part, slot)) is not None), None)
