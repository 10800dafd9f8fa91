"""The definition of each convolution and its derivatives in NumPy. It never imports JAX."""

from .convolution import (
    conv1d,
    conv1d_transpose,
    conv1d_vjp,
    depthwise_conv1d,
    exact,
    forward,
    input_gradient,
    kernel_gradient,
    pad,
    pad_adjoint,
    separable_conv1d,
    unfold,
)
from .sequences import one_by_one, runs

__all__ = [
    "conv1d",
    "conv1d_transpose",
    "conv1d_vjp",
    "depthwise_conv1d",
    "exact",
    "forward",
    "input_gradient",
    "kernel_gradient",
    "one_by_one",
    "pad",
    "pad_adjoint",
    "runs",
    "separable_conv1d",
    "unfold",
]
