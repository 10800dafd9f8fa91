"""What a file says of a model's training, as Keras 3 serializes it, so that it can be written again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..files.errors import KerasFileError
from ..read.parts import Part
from .constraints import CONSTRAINTS
from .losses import LOSSES, SHORT
from .named import serialized
from .optimizer_age import HOW, Age, aged
from .optimizer_cores import OPTIMIZERS
from .regularizers import REGULARIZERS
from .schedules import SCHEDULES
from .weight_options import pieces_of

# The end of an option's name, what it may be, and Keras's module of it.
TABLES: dict[str, tuple[Mapping[str, Any], str]] = {
    "_regularizer": (REGULARIZERS, "keras.regularizers"),
    "_constraint": (CONSTRAINTS, "keras.constraints"),
}


@dataclass(frozen=True)
class Compiled:
    """The optimizer's object, the losses by output, and the options of layers by key, prefix and name.

    `optimizer` is None where Keras 3 has none that does the same, and `why` then says why.
    """

    optimizer: dict[str, Any] | None
    why: str
    losses: Mapping[str, dict[str, Any]]
    options: Mapping[str, Mapping[str, Mapping[str, Any]]]


def options_of(root: Part) -> dict[str, dict[str, dict[str, Any]]]:
    """The regularizers and constraints of every layer, by its key and the prefix of the layer inside it.

    Those that jconv does not have are left out: they are of arrays that are not trained, or the file was refused.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for part in root.leaves():
        for piece in pieces_of(part):
            for option, value in piece.config.items():
                end = option[option.rfind("_") :]
                if end in TABLES and value is not None:
                    table, module = TABLES[end]
                    with suppress(KerasFileError):
                        made = serialized(table, value, piece.place, module)
                        found.setdefault(part.key, {}).setdefault(piece.prefix, {})[option] = made
    return found


def serialized_loss(value: Any, place: str) -> dict[str, Any]:
    """A loss's object as Keras 3 has it."""
    made = serialized({name: None for name in LOSSES if name not in SHORT}, value, place, "keras.losses", SHORT)
    config = {key: option for key, option in made["config"].items() if key != "fn"}
    if config.get("reduction") == "auto":
        config["reduction"] = "sum_over_batch_size"
    return {**made, "config": config}


def serialized_optimizer(
    value: Any, place: str, learning_rate: float | Callable[[Any], Any] | None
) -> tuple[dict[str, Any] | None, str]:
    """`(object, "")` of an optimizer as Keras 3 has it, or None and why there is none.

    `learning_rate` takes the place of the one in the config, where it is not None.
    """
    value, age = aged(value)
    made = serialized(OPTIMIZERS, value, place, "keras.optimizers")
    config = {key: option for key, option in made["config"].items() if key not in HOW and key != "decay"}
    decay = made["config"].get("decay") or 0.0
    rate = config.get("learning_rate") if learning_rate is None else learning_rate
    if callable(rate):
        return None, "its learning_rate is a function of yours"
    if isinstance(rate, (dict, str)):
        rate = serialized(SCHEDULES, rate, f"{place}, learning_rate", "keras.optimizers.schedules")
    if age is Age.LEGACY:
        if decay > 0 and isinstance(rate, dict) and learning_rate is None:
            return None, "Keras 3 has no schedule with a decay"
        if made["class_name"] == "Adagrad" or (made["class_name"] == "RMSprop" and not config.get("momentum")):
            return None, f"in Keras 3 the epsilon of {made['class_name']} stands inside the root"
    if decay > 0 and learning_rate is None:
        options = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        rate = serialized(
            SCHEDULES, {"class_name": "InverseTimeDecay", "config": options}, place, "keras.optimizers.schedules"
        )
    return {**made, "config": {**config, "learning_rate": rate}}, ""
