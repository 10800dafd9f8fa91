"""Serialized objects of Keras by name: optimizers, schedules, regularizers, constraints and losses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..files.errors import KerasFileError
from ..kinds.config import Config, as_dict, number, optional, shortened, text

T = TypeVar("T")

KERAS_MODULE = re.compile(r"(builtins|keras|tensorflow\.keras|tensorflow\.python\.keras|tf_keras)(\.|$)")


def parse_object(value: Any, place: str) -> tuple[str, Config]:
    """`(name, config)` of an object that Keras serialized as a name, a function, or a class with its config.

    Raises `KerasFileError` for anything else, and for a class or function that is not part of Keras.

    >>> parse_object({"module": "keras.losses", "class_name": "Huber", "config": {}}, "loss")[0]
    'Huber'
    """
    if isinstance(value, str):
        return value, Config({}, place)
    if not isinstance(value, dict):
        raise KerasFileError(f"{place} must be a name or an object, got {shortened(value)}")
    entry = Config(value, place)
    class_name = entry.get("class_name", text)
    module = entry.get("module", optional(text), None)
    registered = entry.get("registered_name", optional(text), None)
    is_function = class_name == "function"
    name = entry.get("config", text) if is_function else class_name
    is_registered = registered not in (None, class_name, name) or (registered and not module)
    if not KERAS_MODULE.match(module or "keras") or is_registered:
        entry.fail(f"{name!a} is not part of Keras, and is not imported")
    config = {} if is_function else entry.get("config", optional(as_dict), None) or {}
    return name, Config(config, f"{place} ({ascii(name)[1:-1]})")


def look_up(table: Mapping[str, Any], value: Any, place: str, what: str) -> tuple[str, Config]:
    """The key of `table` that is the name of an object, ignoring case and underscores, and the object's config.

    Raises `KerasFileError`, which calls the object `what`, if there is no such key.
    """
    name, config = parse_object(value, place)
    key = {_normalize_name(key): key for key in table}.get(_normalize_name(name))
    if key is None:
        raise KerasFileError(f"{place}: {what} {shortened(name)} is not supported; supported are {', '.join(table)}")
    return key, config


def read_object(table: Mapping[str, Callable[[Config], T]], value: Any, place: str, what: str) -> T:
    """The object that the function in `table` makes of a config.

    Raises `KerasFileError` as `look_up`, and for an option that the function does not read.
    """
    key, config = look_up(table, value, place, what)
    made = table[key](config)
    check_all_used(config)
    return made


def read_numbers(config: Config, **defaults: float) -> list[float]:
    """Options that are numbers, in the order of their `defaults`."""
    return [config.get(name, number, default) for name, default in defaults.items()]


def serialize(table: Mapping[str, Any], value: Any, place: str, module: str) -> dict[str, Any]:
    """An object as Keras 3 serializes it, with the name of its class in `table`. Raises errors as `look_up`."""
    name, config = look_up(table, value, place, "the object")
    # Keras 2 writes "name": null, which Keras 3 does not accept.
    options = {key: option for key, option in config.values.items() if key != "name" or option is not None}
    return {"module": module, "class_name": name, "config": options, "registered_name": None}


def _normalize_name(name: str) -> str:
    """A name in lower case without underscores, so that `L1L2` and `l1_l2` are the same."""
    return name.replace("_", "").lower()


def check_all_used(config: Config, ignored: tuple[str, ...] = ("name",)) -> None:
    """Raise `KerasFileError` if the config has an option that was not read and is not `ignored`."""
    for key in config.unused_keys():
        if key not in ignored:
            config.fail(f"the option {key!a}, {shortened(config.values[key])}, is not supported")
