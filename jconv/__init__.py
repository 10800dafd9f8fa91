"""1-D convolution for JAX: tested against a NumPy definition and Keras, differentiable in every mode."""

from . import layers, ragged, reference, sharding, slots, streaming
from .algorithms.einsum import unfold
from .functional.convolution import conv1d, conv1d_transpose, depthwise_conv1d, init_conv1d, separable_conv1d
from .functional.default_algorithm import default_algorithm
from .functional.lax_compat import conv_general_dilated
from .geometry import output_length
from .inspect.cross_check import cross_check
from .inspect.explain import Plan, explain
from .inspect.tune import Tuning, tune
from .model.graph import Model, Node, sequential
from .version import __version__ as __version__

__all__ = [
    "Model",
    "Node",
    "Plan",
    "Tuning",
    "conv1d",
    "conv1d_transpose",
    "conv_general_dilated",
    "cross_check",
    "default_algorithm",
    "depthwise_conv1d",
    "explain",
    "init_conv1d",
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
