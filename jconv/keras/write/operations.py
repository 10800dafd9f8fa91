"""An `Operation` as a node of `keras.ops`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...layers.operations.functions import OPERATIONS
from ...layers.operations.operation import Constant, Input, Operation, Slice
from ..kinds.config import as_lists
from ..kinds.operations import CALL_ARGUMENTS, CALL_KEYWORDS, CLASSES, MODULES


def write_operation(
    layer: Operation, to_tensor: Callable[[Input], Any]
) -> tuple[str, str, dict[str, Any], list[Any], dict[str, Any]]:
    """`(module, class, config, args, kwargs)` of an operation; `to_tensor` writes its inputs."""
    bound = inspect.signature(OPERATIONS[layer.function]).bind(None, *layer.arguments, **dict(layer.options))
    given = dict(bound.arguments)
    given.pop("m")
    args = [_serialized(value, to_tensor) for value in given.pop("operands", ())]
    args += [_serialized(value, to_tensor) for key, value in given.items() if key in CALL_ARGUMENTS]
    kwargs = {key: given.pop(key) for key in CALL_KEYWORDS if key in given}
    config = {key: _serialized(value, to_tensor) for key, value in given.items() if key not in CALL_ARGUMENTS}
    return MODULES[layer.function], CLASSES[layer.function], config, args, kwargs


def _serialized(value: Any, to_tensor: Callable[[Input], Any]) -> Any:
    if isinstance(value, Input):
        return to_tensor(value)
    if isinstance(value, Slice):
        parts = {"start": value.start, "stop": value.stop, "step": value.step}
        return {"class_name": "__slice__", "config": parts}
    if isinstance(value, Constant):
        return {"class_name": "__numpy__", "config": {"value": as_lists(value.values), "dtype": value.dtype}}
    if value is ...:
        return {"class_name": "__ellipsis__", "config": {}}
    return [_serialized(part, to_tensor) for part in value] if isinstance(value, tuple) else value
