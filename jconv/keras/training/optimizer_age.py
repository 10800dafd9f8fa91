"""Whose optimizer a config is: that of Keras 3, of Keras 2 from its version 2.11 on, or the legacy one before.

The rules are the same but for where an epsilon stands, a `decay` of the learning rate, the names of options, and what
arrays a file has in which order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from .schedules import Schedule

CUSTOM = "Custom>"
# Options of Keras 2 that say how it computes, and not what.
HOW = ("jit_compile", "is_legacy_optimizer")


class Age(Enum):
    """The ages of Keras's optimizers, with what each has besides `name` that means nothing here."""

    LEGACY = ("is_legacy_optimizer",)
    TWO = HOW
    THREE = ()

    @property
    def harmless(self) -> tuple[str, ...]:
        """The options that change no number."""
        return ("name", *self.value)


def aged(value: Any, older: bool = False) -> tuple[Any, Age]:
    """A serialized optimizer under the names that Keras 3 has for its class and its learning rate, and its age.

    One that is only named has all of Keras's defaults; `older` says that the file is of Keras 2.

    >>> value, age = aged({"class_name": "Custom>Adam", "config": {"jit_compile": False, "lr": 0.1}})
    >>> value["class_name"], value["config"]["learning_rate"], age.name
    ('Adam', 0.1, 'TWO')
    >>> aged("adam", older=True)[1].name
    'TWO'
    """
    if isinstance(value, str):
        # An archive has what `compile` was given, and Keras 2 writes archives since 2.12.
        return value, Age.TWO if older else Age.THREE
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return value, Age.THREE
    config = dict(value["config"])
    age = _age(value, config)
    if age is not Age.THREE:
        if "lr" in config:
            config.setdefault("learning_rate", config.pop("lr"))
        name = value.get("class_name")
        # As Keras 2 registers its own class for an HDF5 file.
        name = name.removeprefix(CUSTOM) if isinstance(name, str) and "module" not in value else name
        value = {**value, "class_name": name, "config": config}
    return value, age


def _age(value: Mapping[str, Any], config: Mapping[str, Any]) -> Age:
    module = value.get("module")
    if config.get("is_legacy_optimizer") is True or (isinstance(module, str) and module.endswith(".legacy")):
        return Age.LEGACY
    if any(option in config for option in HOW):
        return Age.TWO
    old = "use_ema" not in config and ("decay" in config or "lr" in config)
    return Age.LEGACY if old else Age.THREE


def decayed(rate: float | Schedule, decay: float) -> Schedule:
    """The learning rate over `1 + decay * count`, as the legacy optimizers have it."""
    return lambda count: (rate(count) if callable(rate) else rate) / (1 + decay * count)
