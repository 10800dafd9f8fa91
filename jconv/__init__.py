"""1-D convolution for JAX: tested against a NumPy definition and Keras, differentiable in every mode.

Names are imported at their first use, so that `jconv --help` does not import JAX.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

# For type checkers, which do not call `__getattr__`.
if TYPE_CHECKING:
    from . import layers as layers
    from . import ragged as ragged
    from . import reference as reference
    from . import sharding as sharding
    from . import slots as slots
    from . import streaming as streaming
    from .algorithms.einsum import unfold as unfold
    from .functional import conv1d as conv1d
    from .functional import conv1d_transpose as conv1d_transpose
    from .functional import conv_general_dilated as conv_general_dilated
    from .functional import default_algorithm as default_algorithm
    from .functional import depthwise_conv1d as depthwise_conv1d
    from .functional import init_conv1d as init_conv1d
    from .functional import lax_only as lax_only
    from .functional import separable_conv1d as separable_conv1d
    from .geometry import output_length as output_length
    from .inspect import Plan as Plan
    from .inspect import Tuning as Tuning
    from .inspect import chosen_algorithms as chosen_algorithms
    from .inspect import cross_check as cross_check
    from .inspect import explain as explain
    from .inspect import tune as tune
    from .model import Model as Model
    from .model import Node as Node
    from .model import sequential as sequential

_MODULES = {
    "Model": ".model",
    "Node": ".model",
    "Plan": ".inspect",
    "Tuning": ".inspect",
    "chosen_algorithms": ".inspect",
    "conv1d": ".functional",
    "conv1d_transpose": ".functional",
    "conv_general_dilated": ".functional",
    "cross_check": ".inspect",
    "default_algorithm": ".functional",
    "depthwise_conv1d": ".functional",
    "explain": ".inspect",
    "init_conv1d": ".functional",
    "lax_only": ".functional",
    "output_length": ".geometry",
    "separable_conv1d": ".functional",
    "sequential": ".model",
    "tune": ".inspect",
    "unfold": ".algorithms.einsum",
}

__all__ = [
    "Model",
    "Node",
    "Plan",
    "Tuning",
    "chosen_algorithms",
    "conv1d",
    "conv1d_transpose",
    "conv_general_dilated",
    "cross_check",
    "default_algorithm",
    "depthwise_conv1d",
    "explain",
    "init_conv1d",
    "lax_only",
    "layers",
    "output_length",
    "ragged",
    "reference",
    "separable_conv1d",
    "sequential",
    "sharding",
    "slots",
    "streaming",
    "tune",
    "unfold",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name], __name__), name)
    if not name.startswith("_"):
        try:
            return importlib.import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "jax" in sys.modules:
    # This defines user contexts that are part of the keys of JAX's caches. Defining them inside a traced function would
    # make JAX trace that function twice.
    importlib.import_module(".functional", __name__)
