"""What `jconv` gives its users by name."""

from . import layers, ragged, reference, sharding, slots, streaming
from .algorithms.einsum import unfold
from .conv import conv1d, conv1d_transpose, depthwise_conv1d, init_conv1d, separable_conv1d
from .conv_general_dilated import conv_general_dilated
from .cross_check import cross_check
from .defaults import default_algorithm
from .explain import Plan, explain
from .geometry import output_length
from .model import Model, Node, sequential
from .tune import Tuning, tune

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
