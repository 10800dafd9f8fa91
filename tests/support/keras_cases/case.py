"""One entry of the tables of Keras layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """Input shapes without the batch (a tuple of shapes for several inputs), and functions of the inputs, by name."""

    shape: Any
    branches: dict[str, Callable[..., Any]]
    dtype: str = "float32"
