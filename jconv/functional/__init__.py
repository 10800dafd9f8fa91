"""The public convolutions: pure functions of params and an array."""

from ..primitive.lax_only import lax_only
from .convolution import conv1d, conv1d_transpose, depthwise_conv1d, separable_conv1d
from .default_algorithm import default_algorithm
from .initialization import init_conv1d
from .lax_compat import conv_general_dilated

__all__ = [
    "conv1d",
    "conv1d_transpose",
    "conv_general_dilated",
    "default_algorithm",
    "depthwise_conv1d",
    "init_conv1d",
    "lax_only",
    "separable_conv1d",
]
