"""Read and write Keras models without Keras.

`Training` and `load_training` are imported at their first use: they need optax, and loading a model does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .files.errors import KerasFileError, NotCompiledError
from .loading import load
from .loading_weights import load_weights
from .saving import save

if TYPE_CHECKING:
    from .training.load import load_training
    from .training.state import Training

_TRAINING = {"Training": ".training.state", "load_training": ".training.load"}

__all__ = [
    "KerasFileError",
    "NotCompiledError",
    "Training",
    "load",
    "load_training",
    "load_weights",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in _TRAINING:
        return getattr(import_module(_TRAINING[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
