"""Writing training: the serialized options of a loaded file, and a `Training` as part of a written model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..files.errors import KerasFileError
from ..read.parts import ModelPart, snake_case
from ..write.config import WrittenModel
from .constraints import CONSTRAINTS
from .layer_options import layer_configs
from .losses import LOSSES, SHORT_NAMES
from .objects import serialize
from .optimizer import read_optimizer
from .optimizer_state import FOLDER, trainable_arrays
from .optimizer_version import EXECUTION_OPTIONS, OptimizerVersion, modernize
from .regularizers import REGULARIZERS
from .schedules import SCHEDULES
from .update_rules import OPTIMIZERS

if TYPE_CHECKING:
    from .state import Training

Array = np.ndarray[Any, Any]
# The end of an option's name, its possible values, and Keras's module of these.
OPTIONS: dict[str, tuple[Mapping[str, Any], str]] = {
    "_regularizer": (REGULARIZERS, "keras.regularizers"),
    "_constraint": (CONSTRAINTS, "keras.constraints"),
}
SCHEDULES_MODULE = "keras.optimizers.schedules"


@dataclass(frozen=True)
class CompileConfig:
    """The optimizer, losses, regularizers and constraints of a file, as Keras 3 serializes them.

    `optimizer` is None if Keras 3 has no equivalent, for the reason in `why`. `losses` are by output; `options` are the
    regularizers and constraints by the layer's key, the prefix of an inner layer, and the name of the option.
    """

    optimizer: dict[str, Any] | None
    why: str
    losses: Mapping[str, dict[str, Any]]
    options: Mapping[str, Mapping[str, Mapping[str, Any]]]


def serialize_options(root: ModelPart) -> dict[str, dict[str, dict[str, Any]]]:
    """The regularizers and constraints of the layers, as in `CompileConfig`.

    Unknown ones are skipped: on trained arrays they were refused before, and on other arrays they have no effect.
    """
    options: dict[str, dict[str, dict[str, Any]]] = {}
    for part in root.leaves():
        for layer in layer_configs(part):
            for option, value in layer.config.items():
                end = option[option.rfind("_") :]
                if end in OPTIONS and value is not None:
                    table, module = OPTIONS[end]
                    with suppress(KerasFileError):
                        serialized = serialize(table, value, layer.place, module)
                        options.setdefault(part.key, {}).setdefault(layer.prefix, {})[option] = serialized
    return options


def serialize_loss(value: Any) -> dict[str, Any]:
    """A loss as Keras 3 serializes it."""
    serialized = serialize(LOSSES, value, "loss", "keras.losses")
    name = serialized["class_name"]
    config = {key: option for key, option in serialized["config"].items() if key != "fn"}
    if config.get("reduction") == "auto":
        config["reduction"] = "sum_over_batch_size"
    return {**serialized, "class_name": SHORT_NAMES.get(name, name), "config": config}


def serialize_optimizer(
    value: Any, learning_rate: float | Callable[[Any], Any] | None
) -> tuple[dict[str, Any] | None, str]:
    """`(optimizer, "")` as Keras 3 serializes it, or None and the reason why it has no equivalent.

    `learning_rate`, unless None, replaces the learning rate of the config.
    """
    value, version = modernize(value)
    serialized = serialize(OPTIMIZERS, value, "optimizer", "keras.optimizers")
    name, own = serialized["class_name"], serialized["config"]
    config = {key: option for key, option in own.items() if key not in (*EXECUTION_OPTIONS, "decay")}
    decay = 0.0 if learning_rate is not None else own.get("decay") or 0.0
    rate = config.get("learning_rate") if learning_rate is None else learning_rate
    if callable(rate):
        return None, "its learning_rate is a function of yours"
    if isinstance(rate, (dict, str)):
        rate = serialize(SCHEDULES, rate, "optimizer, learning_rate", SCHEDULES_MODULE)
    if version is OptimizerVersion.LEGACY:
        if decay > 0 and isinstance(rate, dict):
            return None, "Keras 3 has no schedule with a decay"
        if name == "Adagrad" or (name == "RMSprop" and not config.get("momentum")):
            return None, f"{name} of Keras 3 adds epsilon before it takes the square root"
    if decay > 0:
        options = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        schedule = {"class_name": "InverseTimeDecay", "config": options}
        rate = serialize(SCHEDULES, schedule, "optimizer", SCHEDULES_MODULE)
    return {**serialized, "config": {**config, "learning_rate": rate}}, ""


def write_training(written: WrittenModel, training: Training) -> tuple[dict[str, Array], dict[str, str]]:
    """Add the training to the config of a written model.

    Returns the optimizer's arrays by path, and the name that Keras stores beside them by folder. Raises
    `KerasFileError` for an optimizer that Keras 3 does not have, for options of a layer that the written model does not
    have, and for a state that does not fit the optimizer or the params.
    """
    compiled = training.compiled
    if compiled.optimizer is None:
        raise KerasFileError(f"training has an optimizer that Keras does not have: {compiled.why}")
    _add_options(written, compiled.options)
    losses = [compiled.losses.get(name) for name in training.model.outputs]
    weights = {term.output: term.weight for term in training.loss.terms} if training.loss else {}
    loss_weights = None
    if any(weight is not None for weight in weights.values()):
        loss_weights = [1.0 if (w := weights.get(name)) is None else w for name in training.model.outputs]
    written.config["compile_config"] = {
        "optimizer": compiled.optimizer,
        "loss": losses[0] if len(losses) == 1 else losses if any(losses) else None,
        "loss_weights": loss_weights,
        "metrics": None,
        "weighted_metrics": None,
    }
    arrays = _state_arrays(written.root, training, compiled.optimizer)
    return arrays, {f"{FOLDER}vars": snake_case(training.name)}


def _add_options(written: WrittenModel, options: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    parts = {part.key: part for part in written.root.leaves()}
    for key, by_prefix in options.items():
        configs: dict[str, list[Any]] = {}
        for layer in layer_configs(parts[key]) if key in parts else ():
            configs.setdefault(layer.prefix, []).append(layer.config)
        for prefix, own in by_prefix.items():
            if prefix not in configs:
                name = f"{key}/{prefix}"[:-1] if prefix else key
                raise KerasFileError(
                    f"training has {', '.join(own)} for {name!a}, a layer that the written model does not have"
                )
            for config in configs[prefix]:
                config.update(own)


def _state_arrays(root: ModelPart, training: Training, optimizer: dict[str, Any]) -> dict[str, Array]:
    parsed = read_optimizer(optimizer, {})
    order = trainable_arrays(root)
    arrays: list[Any] = [np.asarray(training.steps, np.int32)]
    is_double = any(a.dtype == jnp.float64 for a in jax.tree.leaves(training.state))
    if parsed.stores_rate:
        arrays.append(np.asarray(training.learning_rate, np.float64 if is_double else np.float32))
    for group in parsed.slots:
        trees = {slot: _find_slot(training.state, slot) for slot in group}
        for key, name, shape in order:
            for slot, tree in trees.items():
                array = None if tree is None else tree.get(key, {}).get(name)
                if array is None or tuple(array.shape) != shape:
                    got = "none" if array is None else f"one of shape {tuple(array.shape)}"
                    raise KerasFileError(
                        f"training's state must have an array {slot!a} of shape {shape} for {key!a} {name!a}, got {got}"
                    )
                arrays.append(np.asarray(array))
    return {f"{FOLDER}vars/{number}": array for number, array in enumerate(arrays)}


def _find_slot(state: Any, slot: str) -> Any:
    """The tree in the field `slot` anywhere in a state; None if there is none."""
    if slot in getattr(state, "_fields", ()):
        return getattr(state, slot)
    parts = [part for part in state if isinstance(part, tuple)] if isinstance(state, tuple) else []
    return next((tree for part in parts if (tree := _find_slot(part, slot)) is not None), None)
