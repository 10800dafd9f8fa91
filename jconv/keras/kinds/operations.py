"""Keras's operations between layers: which class is which function of `jconv.operations`, and how one is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...layers.operations.functions import OPERATIONS
from ...layers.operations.operation import Constant, Input, Operation, Slice
from ..files.errors import spoken_at
from ..read.calls import Call, Ref, refs_in, tree_of
from .config import Config


def _class_name(function: str) -> str:
    return "".join(word.capitalize() for word in function.split("_"))


# Keras names the class after the function; where that is not so, it is said.
FUNCTIONS: dict[str, str] = {_class_name(function): function for function in OPERATIONS} | {"L2Normalize": "normalize"}


def read_operation(class_name: str, config: Config, call: Call, place: Callable[[Ref], Any]) -> Operation:
    """The operation of a node: what its class was made with and what it is called on."""
    function = FUNCTIONS[class_name]
    made = {key: tree_of(value, config.place) for key, value in config.values.items() if key != "name"}
    if any(refs_in(tuple(made.values()))):
        config.fail("an option is a tensor, which only an argument of the call may be")
    options = {key: value for key, value in (made | call.kwargs).items() if value is not None}
    with spoken_at(config.place, "Operation: "):
        return Operation(
            function,
            tuple(_placed(arg, place) for arg in call.args),
            tuple((key, _placed(value, place)) for key, value in sorted(options.items())),
        )


def _placed(value: Any, place: Callable[[Ref], Any]) -> Any:
    if isinstance(value, Ref):
        return place(value)
    return tuple(_placed(part, place) for part in value) if isinstance(value, tuple) else value


# What Keras gives to the call of an operation; the rest is said when it is made.
CALLED = ("x", "x1", "x2", "xs", "a", "condition", "key", "indices", "constant_values")
ROOMS = {
    "keras.src.ops.nn": (
        "relu relu6 sigmoid softplus softsign silu selu log_sigmoid hard_sigmoid hard_silu hard_tanh tanh_shrink "
        "sparse_plus sparse_sigmoid sparsemax celu elu gelu glu hard_shrink leaky_relu log_softmax normalize "
        "soft_shrink softmax squareplus threshold"
    ),
    "keras.src.ops.math": "logsumexp rsqrt",
    "keras.src.ops.core": "cast convert_to_tensor stop_gradient unstack",
    "keras.src.ops.linalg": "norm",
}
MODULES = {function: module for module, functions in ROOMS.items() for function in functions.split()}
CLASSES = {function: name for name, function in reversed(FUNCTIONS.items())}


def write_operation(
    layer: Operation, tensor: Callable[[Input], Any], name: str
) -> tuple[str, str, dict[str, Any], list[Any], dict[str, Any]]:
    """`(module, class, config, args, kwargs)` of an operation, `tensor` being how its inputs are written."""
    bound = inspect.signature(OPERATIONS[layer.function]).bind(None, *layer.arguments, **dict(layer.options))
    given = dict(bound.arguments)
    given.pop("m")
    operands = given.pop("operands", ())
    args = [_written(value, tensor) for value in operands]
    args += [_written(value, tensor) for key, value in given.items() if key in CALLED and key != "constant_values"]
    config = {key: _written(value, tensor) for key, value in given.items() if key not in CALLED}
    kwargs = {"constant_values": given["constant_values"]} if "constant_values" in given else {}
    module = MODULES.get(layer.function, "keras.src.ops.numpy")
    return module, CLASSES[layer.function], config, args, kwargs


def _written(value: Any, tensor: Callable[[Input], Any]) -> Any:
    if isinstance(value, Input):
        return tensor(value)
    if isinstance(value, Slice):
        parts = {"start": value.start, "stop": value.stop, "step": value.step}
        return {"class_name": "__slice__", "config": parts}
    if isinstance(value, Constant):
        return {"class_name": "__numpy__", "config": {"value": _lists(value.values), "dtype": value.dtype}}
    if value is ...:
        return {"class_name": "__ellipsis__", "config": {}}
    return [_written(part, tensor) for part in value] if isinstance(value, tuple) else value


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, tuple) else value
