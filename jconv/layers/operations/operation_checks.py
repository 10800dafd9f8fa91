"""What the arguments of an operation may be.

They are checked before an array is made of them: a file may hold anything, JAX takes names of axes for names of
devices, and some functions compute as many steps, or return as many arrays, as a number says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...geometry import is_integer
from .operands import Constant, Input, Slice

MOST_AXES = 64
# Arrays that one operation reads or returns, and steps that it takes.
MOST_PARTS = 1000
LONGEST_EQUATION = 1000
MOST_DECIMALS = 30
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64"),
)
PAD_MODES = ("constant", "edge", "reflect", "symmetric")


def _axis(value: Any) -> bool:
    return is_integer(value) and -MOST_AXES <= value <= MOST_AXES


def _axes(value: Any) -> bool:
    return value is None or _axis(value) or (_few(value) and all(_axis(axis) for axis in value))


def _few(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MOST_AXES


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, Input, Constant)) or value is None


def _arrays(value: Any) -> bool:
    # An array may also be written as a list of numbers.
    if isinstance(value, tuple):
        return len(value) <= MOST_PARTS and all(_arrays(part) for part in value)
    return value is not None and _number(value)


def _sizes(value: Any) -> bool:
    return is_integer(value) or (_few(value) and all(is_integer(size) or size is None for size in value))


def _many(value: Any) -> bool:
    return is_integer(value) or _listed(value)


def _listed(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MOST_PARTS and all(is_integer(part) for part in value)


def _steps(value: Any) -> bool:
    return is_integer(value) and 0 <= value <= MOST_PARTS


def _sections(value: Any) -> bool:
    return _listed(value) or (is_integer(value) and 1 <= value <= MOST_PARTS)


def _widths(value: Any) -> bool:
    pairs = value if isinstance(value, tuple) else (value,)
    return len(pairs) <= MOST_AXES and all(
        is_integer(pair) or (isinstance(pair, tuple) and len(pair) <= 2 and all(is_integer(n) for n in pair))
        for pair in pairs
    )


def _key(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return len(parts) <= MOST_AXES and all(
        part is None or part is ... or isinstance(part, (Slice, Constant, Input)) or is_integer(part) or _listed(part)
        for part in parts
    )


# By the name of an argument of the functions of `jconv.operations`: what it must be, in words, and whether it is.
CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("axis", "axes", "source", "destination"), ("None, an axis or several", _axes)),
    **dict.fromkeys(("axis1", "axis2"), ("an axis", _axis)),
    **dict.fromkeys(("keepdims", "approximate"), ("true or false", _flag)),
    **dict.fromkeys(("shape", "newshape"), (f"at most {MOST_AXES} sizes", _sizes)),
    **dict.fromkeys(("repeats", "shift"), (f"an integer or at most {MOST_PARTS}", _many)),
    **dict.fromkeys(("x", "x1", "x2", "a", "xs", "condition", "indices"), ("an array or several", _arrays)),
    "operands": (f"at most {MOST_AXES} arrays", lambda value: len(value) <= MOST_AXES and _arrays(value)),
    "subscripts": (
        f"an equation of at most {LONGEST_EQUATION} letters",
        lambda value: isinstance(value, str) and len(value) <= LONGEST_EQUATION,
    ),
    "dtype": (f"one of {', '.join(DTYPES)}", lambda value: value is None or value in DTYPES),
    "mode": (f"one of {', '.join(PAD_MODES)}", lambda value: value in PAD_MODES),
    "pad_width": ("pairs of integers", _widths),
    "key": (f"at most {MOST_AXES} integers, slices, lists, ... or None", _key),
    "n": (f"an integer from 0 to {MOST_PARTS}", _steps),
    "num": (f"None or an integer from 0 to {MOST_PARTS}", lambda value: value is None or _steps(value)),
    "indices_or_sections": (f"a number up to {MOST_PARTS}, or as many places", _sections),
    "decimals": (
        f"an integer from -{MOST_DECIMALS} to {MOST_DECIMALS}",
        lambda value: is_integer(value) and -MOST_DECIMALS <= value <= MOST_DECIMALS,
    ),
}
NUMBER = ("a number or an array", _number)
# Of a single array these would take its rows, one by one.
MERGING = (("concatenate", "xs"), ("stack", "x"))
SEVERAL = ("a list of arrays", lambda value: isinstance(value, tuple) and _arrays(value))


def check_arguments(function: str, arguments: Mapping[str, Any]) -> None:
    """Raise `ValueError`, naming the argument, for one that the function cannot have."""
    for name, value in arguments.items():
        words, allowed = SEVERAL if (function, name) in MERGING else CHECKS.get(name, NUMBER)
        if not allowed(value):
            shown = repr(value)
            shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
            raise ValueError(f"{function}: {name} must be {words}, got {shown}")
