"""Operations as Python expressions: `x[:, 1:]`, `x + 1.5`, `mean(x, axis=1)`."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .functions import OPERATIONS
from .operands import Constant, Input, Slice, inputs_in

NAMES = ("x", "y", "z")
INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "true_divide": "/",
    "power": "**",
    "matmul": "@",
    "mod": "%",
    "floor_divide": "//",
    "greater": ">",
    "greater_equal": ">=",
    "less": "<",
    "less_equal": "<=",
    "equal": "==",
    "not_equal": "!=",
    "logical_and": "&",
    "logical_or": "|",
    "logical_xor": "^",
}
# Larger constants are shown as dtype and shape.
MAX_SHOWN_VALUES = 4


def format_operation(function: str, arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> str:
    """The operation as a Python expression, without options that have their default value.

    Inputs are `x`, `y`, `z`; more than three are `x0`, `x1`, ...

    >>> format_operation("add", (Input(0), 1.5), ())
    'x + 1.5'
    >>> format_operation("mean", (Input(0),), (("axis", 1), ("keepdims", False)))
    'mean(x, axis=1)'
    >>> format_operation("get_item", (Input(0), (Slice(), ..., Slice(None, None, 2), -1)), ())
    'x[:, ..., ::2, -1]'
    >>> format_operation("concatenate", ((Input(0), Input(1)),), (("axis", 1),))
    'concatenate((x, y), axis=1)'
    """
    reads = 1 + max(inputs_in((arguments, options)), default=0)
    names = NAMES if reads <= len(NAMES) else tuple(f"x{i}" for i in range(reads))
    shown = [_format_value(value, names) for value in arguments]
    if function == "get_item" and len(shown) == 2:
        return f"{shown[0]}[{_format_index(arguments[1], names)}]"
    if function in INFIX and len(shown) == 2 and not options:
        return f"{shown[0]} {INFIX[function]} {shown[1]}"
    if function == "negative" and len(shown) == 1:
        return f"-{shown[0]}"
    usual = inspect.signature(OPERATIONS[function]).parameters
    named = [f"{name}={_format_value(value, names)}" for name, value in options if usual[name].default != value]
    return f"{function}({', '.join([*shown, *named])})"


def _format_index(key: Any, names: tuple[str, ...]) -> str:
    return (
        ", ".join(_format_value(part, names) for part in key)
        if isinstance(key, tuple) and key
        else _format_value(key, names)
    )


def _format_value(value: Any, names: tuple[str, ...]) -> str:
    if isinstance(value, Input):
        return names[value.index]
    if isinstance(value, Slice):
        start, stop, step = ("" if n is None else str(n) for n in (value.start, value.stop, value.step))
        return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
    if isinstance(value, Constant):
        shape = np.shape(value.values)
        few = np.size(value.values) <= MAX_SHOWN_VALUES
        return str(np.asarray(value.values).tolist()) if few else f"{value.dtype}{shape}"
    if isinstance(value, tuple):
        return f"({', '.join(_format_value(part, names) for part in value)}{',' * (len(value) == 1)})"
    return "..." if value is ... else repr(value)
