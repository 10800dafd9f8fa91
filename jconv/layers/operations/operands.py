"""What stands among the arguments of an operation beside plain values: inputs, slices and arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Input:
    """Where among an operation's arguments its `index`-th input goes."""

    index: int = 0


@dataclass(frozen=True)
class Slice:
    """`slice(start, stop, step)`, which is not hashable on every Python."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None


@dataclass(frozen=True)
class Constant:
    """An array as nested tuples, so that it is hashable."""

    values: Any
    dtype: str


def inputs_in(value: Any) -> list[int]:
    """The indices of every `Input` in a value of nested tuples.

    >>> inputs_in((Input(1), (2.0, Input(0))))
    [1, 0]
    """
    if isinstance(value, Input):
        return [value.index]
    return [i for part in value for i in inputs_in(part)] if isinstance(value, tuple) else []
