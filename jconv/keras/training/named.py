"""One of Keras's own objects by its name: an optimizer, a schedule, a regularizer, a constraint or a loss."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from ..files.errors import KerasFileError
from ..kinds.config import Config, as_dict, optional, shortened, text

Found = TypeVar("Found")

OWN = re.compile(r"(builtins|keras|tensorflow\.keras|tensorflow\.python\.keras|tf_keras)(\.|$)")


def named_object(value: Any, place: str) -> tuple[str, Config]:
    """`(name, config)` of what Keras serializes as a name, as a function, or as a class with its config.

    Raises `KerasFileError` for anything else, and for a class or a function that is not Keras's own.

    >>> named_object({"module": "keras.losses", "class_name": "Huber", "config": {}}, "loss")[0]
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
    function = class_name == "function"
    name = entry.get("config", text) if function else class_name
    if not OWN.match(module or "keras") or registered not in (None, class_name, name) or (registered and not module):
        entry.fail(f"{name!a} is not Keras's own, and is not imported")
    config = {} if function else entry.get("config", optional(as_dict), None) or {}
    return name, Config(config, f"{place} ({ascii(name)[1:-1]})")


def one_of_table(table: Mapping[str, Found], value: Any, place: str, what: str) -> tuple[Found, Config]:
    """What `table` has for an object's name, whatever its case and underscores, and the object's config.

    Raises `KerasFileError`, with the `what` that the object had to be, for a name that is not in the table.
    """
    name, config = named_object(value, place)
    found = {plain(key): entry for key, entry in table.items()}.get(plain(name))
    if found is None:
        raise KerasFileError(f"{place}: {what} {shortened(name)} is not one that jconv has: {', '.join(table)}")
    return found, config


def serialized(
    table: Mapping[str, Any], value: Any, place: str, module: str, short: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """An object as Keras 3 serializes it, under its class's name in the `table`, or that of which it is `short`.

    Raises `KerasFileError` for one that is not in the table.
    """
    name, config = named_object(value, place)
    names = {plain(key): key for key in table} | {plain(key): whole for key, whole in (short or {}).items()}
    if plain(name) not in names:
        config.fail(f"is not one that jconv has: {', '.join(table)}")
    # Keras 2 writes names of null, which Keras 3 does not take.
    options = {key: option for key, option in config.values.items() if key != "name" or option is not None}
    return {"module": module, "class_name": names[plain(name)], "config": options, "registered_name": None}


def plain(name: str) -> str:
    """A name in small letters and without underscores, under which `L1L2` and `l1_l2` are one."""
    return name.replace("_", "").lower()


def check_all_read(config: Config, harmless: tuple[str, ...] = ("name",)) -> None:
    """Raise `KerasFileError` for an option that nobody asked for."""
    for key in config.unused_keys():
        if key not in harmless:
            config.fail(f"the option {key!a} (at {shortened(config.values[key])}) is not one that jconv has")
