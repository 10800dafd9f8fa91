"""A row of the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """Input shapes, without the batch (a tuple of them for several inputs), and what is built on them, by name."""

    shape: Any
    branches: dict[str, Callable[..., Any]]
    dtype: str = "float32"
