"""What the user supplies for names in a file: layers, stock layers of another name, and activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .keras2 import OPTIONS


@dataclass(frozen=True)
class Supplied:
    """An activation of the user's in the place of the name that a file has for it."""

    activation: Any


def put_activations(config: Any, supplied: Mapping[str, Any]) -> None:
    """Put `Supplied` in the place of each activation of a config, in place, whose name is one of those `supplied`.

    >>> config = {"config": {"activation": "<lambda>", "name": "dense"}}
    >>> put_activations(config, {"<lambda>": "tanh"})
    >>> config["config"]["activation"]
    Supplied(activation='tanh')
    """
    waiting: list[Any] = [config] if supplied else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for option in OPTIONS:
                name = next((name for name in _names(value.get(option)) if name in supplied), None)
                if name is not None:
                    value[option] = Supplied(supplied[name])
            waiting += value.values()


def _names(value: Any) -> list[str]:
    """The names under which a file has an activation: a function's, a class's, or `<lambda>` for one without."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return []
    if value.get("class_name") in ("__lambda__", "Lambda"):
        return ["<lambda>"]
    own = [value.get(key) for key in ("registered_name", "class_name")]
    own += [value.get("config")] if value.get("class_name") == "function" else []
    found = [name for name in own if isinstance(name, str)]
    return [part for name in found for part in (name, name.partition(">")[2])]
