"""Checks of the arguments of an operation, which may come from an untrusted file.

They run before any array is created: JAX would interpret a string axis as the name of a mesh axis, and the cost of some
functions is proportional to an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...geometry import is_integer
from .operands import Constant, Input, Slice

MAX_AXES = 64
# Maximum number of arrays that an operation reads or returns, and of steps that it computes.
MAX_PARTS = 1000
MAX_EQUATION_LENGTH = 1000
MAX_DECIMALS = 30
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64"),
)
PAD_MODES = ("constant", "edge", "reflect", "symmetric")


def _is_axis(value: Any) -> bool:
    return is_integer(value) and -MAX_AXES <= value <= MAX_AXES


def _is_axes(value: Any) -> bool:
    return value is None or _is_axis(value) or (_is_short_tuple(value) and all(_is_axis(axis) for axis in value))


def _is_short_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MAX_AXES


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, Input, Constant)) or value is None


def _is_arrays(value: Any) -> bool:
    # Arrays may also be nested tuples of numbers.
    if isinstance(value, tuple):
        return len(value) <= MAX_PARTS and all(_is_arrays(part) for part in value)
    return value is not None and _is_number(value)


def _is_sizes(value: Any) -> bool:
    return is_integer(value) or (_is_short_tuple(value) and all(is_integer(size) or size is None for size in value))


def _is_int_or_ints(value: Any) -> bool:
    return is_integer(value) or _is_int_tuple(value)


def _is_int_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MAX_PARTS and all(is_integer(part) for part in value)


def _is_step_count(value: Any) -> bool:
    return is_integer(value) and 0 <= value <= MAX_PARTS


def _is_sections(value: Any) -> bool:
    return _is_int_tuple(value) or (is_integer(value) and 1 <= value <= MAX_PARTS)


def _is_pad_width(value: Any) -> bool:
    pairs = value if isinstance(value, tuple) else (value,)
    return len(pairs) <= MAX_AXES and all(
        is_integer(pair) or (isinstance(pair, tuple) and len(pair) <= 2 and all(is_integer(n) for n in pair))
        for pair in pairs
    )


def _is_index(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return len(parts) <= MAX_AXES and all(
        part is None
        or part is ...
        or isinstance(part, (Slice, Constant, Input))
        or is_integer(part)
        or _is_int_tuple(part)
        for part in parts
    )


# Argument name -> (description for error messages, check).
CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("axis", "axes", "source", "destination"), ("None, an axis or several", _is_axes)),
    **dict.fromkeys(("axis1", "axis2"), ("an axis", _is_axis)),
    **dict.fromkeys(("keepdims", "approximate"), ("true or false", _is_bool)),
    **dict.fromkeys(("shape", "newshape"), (f"at most {MAX_AXES} sizes", _is_sizes)),
    **dict.fromkeys(("repeats", "shift"), (f"an integer or at most {MAX_PARTS} integers", _is_int_or_ints)),
    **dict.fromkeys(("x", "x1", "x2", "a", "xs", "condition", "indices"), ("an array or several", _is_arrays)),
    "operands": (f"at most {MAX_AXES} arrays", lambda value: len(value) <= MAX_AXES and _is_arrays(value)),
    "subscripts": (
        f"an equation of at most {MAX_EQUATION_LENGTH} letters",
        lambda value: isinstance(value, str) and len(value) <= MAX_EQUATION_LENGTH,
    ),
    "dtype": (f"one of {', '.join(DTYPES)}", lambda value: value is None or value in DTYPES),
    "mode": (f"one of {', '.join(PAD_MODES)}", lambda value: value in PAD_MODES),
    "pad_width": ("pairs of integers", _is_pad_width),
    "key": (f"at most {MAX_AXES} integers, slices, lists, ... or None", _is_index),
    "n": (f"an integer from 0 to {MAX_PARTS}", _is_step_count),
    "num": (f"None or an integer from 0 to {MAX_PARTS}", lambda value: value is None or _is_step_count(value)),
    "indices_or_sections": (f"a number from 1 to {MAX_PARTS}, or at most {MAX_PARTS} indices", _is_sections),
    "decimals": (
        f"an integer from -{MAX_DECIMALS} to {MAX_DECIMALS}",
        lambda value: is_integer(value) and -MAX_DECIMALS <= value <= MAX_DECIMALS,
    ),
}
NUMBER = ("a number or an array", _is_number)
# A single array would be split into its rows here, so these arguments must be lists.
ARRAY_LIST_ARGUMENTS = (("concatenate", "xs"), ("stack", "x"))
ARRAY_LIST = ("a list of arrays", lambda value: isinstance(value, tuple) and _is_arrays(value))


def check_arguments(function: str, arguments: Mapping[str, Any]) -> None:
    """Raise `ValueError` for an argument that the function does not accept."""
    for name, value in arguments.items():
        words, allowed = ARRAY_LIST if (function, name) in ARRAY_LIST_ARGUMENTS else CHECKS.get(name, NUMBER)
        if not allowed(value):
            shown = repr(value)
            shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
            raise ValueError(f"{function}: {name} must be {words}, got {shown}")
