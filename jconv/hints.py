"""Hints at the end of error messages: what users of Keras, PyTorch or lax may have meant."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Names of arguments and padding modes in other libraries.
ARGUMENTS = {
    "strides": "stride",
    "window_strides": "stride",
    "dilation_rate": "dilation",
    "rhs_dilation": "dilation",
    "kernel_dilation": "dilation",
    "feature_group_count": "groups",
    "use_bias": "bias",
    "bias": "use_bias",
    "out_channels": "filters",
    "features": "filters",
    "in_features": "in_channels",
    "out_features": "out_channels",
}
MODES = {"circular": "wrap", "periodic": "wrap", "replicate": "edge", "nearest": "edge", "constant": "zeros"}


def shown(value: Any) -> str:
    """Formats a value for a message: its repr if that is short, and otherwise a description.

    >>> shown("same"), shown(None), shown(len), shown(int)
    ("'same'", 'None', 'the function len', 'the class int')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if getattr(value, "shape", ()):
        return f"an array of shape {tuple(value.shape)}"
    if inspect.isroutine(value) or (callable(value) and hasattr(value, "__name__")):
        return f"the function {value.__name__}"
    text = repr(value)
    short = len(text) <= 60 and "\n" not in text
    return text if short else f"an object of the class {type(value).__name__}"


def meant(value: Any, known: Iterable[str], others: Mapping[str, str] | None = None) -> str | None:
    """Returns the name in `known` that a text may mean, or None.

    It may be another library's name in `others`, the name in other letter case, or a misspelling.

    >>> meant("SAME", ["valid", "same"]), meant("circular", ["wrap"], MODES), meant("mirror", ["wrap"], MODES)
    ('same', 'wrap', None)
    """
    if not isinstance(value, str):
        return None
    known, text = list(known), value.lower()
    for name in ((others or {}).get(text), text):
        if name in known:
            return name
    close = difflib.get_close_matches(text, known, 1, cutoff=0.85)
    return close[0] if close else None


def did_you_mean(text: str | None) -> str:
    """Returns the end of a message, which is empty for None."""
    return "" if text is None else f"; did you mean {text}?"


def suggest(value: Any, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Returns the end of a message with the name that a value may mean. See `meant`.

    >>> suggest("SAME", ["valid", "same"])
    "; did you mean 'same'?"
    """
    name = meant(value, known, others)
    return did_you_mean(None if name is None else repr(name))


def format_names(names: Iterable[Any]) -> str:
    """Quoted names, sorted and joined with commas, for error messages."""
    return ", ".join(map(repr, sorted(names, key=str))) or "nothing"


def check_names(caller: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises `TypeError` for an unknown option, as Python does, with a hint at the option that may be meant."""
    known = [name for name in known if name != "self"]
    for name, value in options.items():
        if name in known:
            continue
        other = meant(name, known, ARGUMENTS)
        hint = f"; the arguments are {', '.join(known)}"
        if other is not None:
            only = value[0] if isinstance(value, tuple) and len(value) == 1 else value  # lax has one per axis.
            is_plain = only is None or isinstance(only, (int, float, str, tuple))
            hint = did_you_mean(f"{other}={shown(only)}" if is_plain else other)
        raise TypeError(f"{caller} has no argument {name}{hint}")


def known_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function with a hint at the argument that may be meant by an unknown one.

    >>> @known_arguments
    ... def convolve(x, stride=1):
    ...     return x
    >>> convolve(1, strides=2)
    Traceback (most recent call last):
    TypeError: convolve has no argument strides; did you mean stride=2?
    """
    names = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        check_names(function.__name__, options, names)
        return function(*args, **options)

    return checked
