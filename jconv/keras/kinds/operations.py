"""Keras's operations between layers: which class is which function of `jconv.operations`, and how one is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...layers.operation import Operation
from ...operations import OPERATIONS
from ..calls import Call, Ref, tree_of
from ..config import Config


def _class_name(function: str) -> str:
    return "".join(word.capitalize() for word in function.split("_"))


# Keras names the class after the function; where that is not so, it is said.
FUNCTIONS: dict[str, str] = {_class_name(function): function for function in OPERATIONS} | {"L2Normalize": "normalize"}


def read_operation(class_name: str, config: Config, call: Call, place: Callable[[Ref], Any]) -> Operation:
    """The operation of a node: what its class was made with and what it is called on."""
    function = FUNCTIONS[class_name]
    made = {key: tree_of(value, config.place) for key, value in config.values.items() if key != "name"}
    options = {key: value for key, value in (made | call.kwargs).items() if value is not None}
    try:
        return Operation(
            function,
            tuple(_placed(arg, place) for arg in call.args),
            tuple((key, _placed(value, place)) for key, value in sorted(options.items())),
        )
    except ValueError as error:
        return config.fail(str(error).removeprefix("Operation: "))


def _placed(value: Any, place: Callable[[Ref], Any]) -> Any:
    if isinstance(value, Ref):
        return place(value)
    return tuple(_placed(part, place) for part in value) if isinstance(value, tuple) else value

