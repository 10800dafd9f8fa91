"""Placeholders in the arguments of an `Operation`: inputs, slices and constant arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Input:
    """A placeholder for the `index`-th input of an operation."""

    index: int = 0


@dataclass(frozen=True)
class Slice:
    """`slice(start, stop, step)`, hashable also before Python 3.12."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None


@dataclass(frozen=True)
class Constant:
    """A constant array as nested tuples, so that it is hashable."""

    values: Any
    dtype: str


def inputs_in(value: Any) -> list[int]:
    """The index of each `Input` in nested tuples.

    >>> inputs_in((Input(1), (2.0, Input(0))))
    [1, 0]
    """
    if isinstance(value, Input):
        return [value.index]
    return [i for part in value for i in inputs_in(part)] if isinstance(value, tuple) else []
