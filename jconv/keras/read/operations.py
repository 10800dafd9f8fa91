"""A function of `keras.ops` between layers, as an `Operation`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...layers.operations.operation import Operation
from ..files.errors import error_context
from ..kinds.config import Config
from ..kinds.operations import FUNCTIONS
from .calls import Call, Ref, parse_argument, refs_in


def read_operation(class_name: str, config: Config, call: Call, to_input: Callable[[Ref], Any]) -> Operation:
    """The operation of a node, from the options of its class and the arguments of its call."""
    own = {key: parse_argument(value, config.place) for key, value in config.values.items() if key != "name"}
    if any(refs_in(tuple(own.values()))):
        config.fail("an option is a tensor, which only an argument of the call may be")
    options = {key: value for key, value in (own | call.kwargs).items() if value is not None}
    with error_context(config.place, "Operation: "):
        return Operation(
            FUNCTIONS[class_name],
            tuple(replace_refs(arg, to_input) for arg in call.args),
            tuple((key, replace_refs(value, to_input)) for key, value in sorted(options.items())),
        )


def replace_refs(value: Any, to_input: Callable[[Ref], Any]) -> Any:
    """The argument with `to_input(ref)` in place of each `Ref`."""
    if isinstance(value, Ref):
        return to_input(value)
    return tuple(replace_refs(part, to_input) for part in value) if isinstance(value, tuple) else value
