"""Exact 1-D convolution for JAX: equal to a NumPy definition and to Keras, differentiable in every mode.

The names of `public` are imported at their first use, so that `jconv --help` need not wait for JAX.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

# For those who read types alone, who do not call `__getattr__`.
if TYPE_CHECKING:
    from .public import *  # noqa: F403

# Functions of which each has the name of the module that it is in.
FUNCTIONS = ("conv_general_dilated", "cross_check", "explain", "tune")


class _Package(ModuleType):
    """This package: the import of a module does not put it in the place of its function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in FUNCTIONS or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in (*FUNCTIONS, "__all__"):
        try:
            return importlib.import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    public = importlib.import_module(".public", __name__)
    if name != "__all__" and name not in public.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(public, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module(".public", __name__).__all__})


if "jax" in sys.modules:
    # This makes settings that are part of the keys of JAX's caches. Made at a first use inside a traced function, they
    # would let JAX trace that function twice.
    importlib.import_module(".conv", __name__)
