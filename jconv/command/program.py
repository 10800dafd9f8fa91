"""Makes a program of `jax.export` from a function."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.export

from .errors import UserError

DEFAULT_PLATFORMS = ("cpu", "cuda")


def check_flatbuffers() -> None:
    """Raise `UserError` if programs cannot be serialized."""
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError("jax.export needs flatbuffers to write a program: pip install flatbuffers")


def export_function(function: Callable[..., Any], platforms: tuple[str, ...] | None, *arguments: Any) -> Any:
    """The `jax.export.Exported` of a function, for the default platforms if `platforms` is None.

    If an operation is not available on one of the default platforms, the function is exported only for this machine's.
    """
    compiled = jax.jit(function)
    if platforms is not None:
        return jax.export.export(compiled, platforms=platforms)(*arguments)
    try:
        return jax.export.export(compiled, platforms=DEFAULT_PLATFORMS)(*arguments)
    except NotImplementedError:
        return jax.export.export(compiled)(*arguments)
