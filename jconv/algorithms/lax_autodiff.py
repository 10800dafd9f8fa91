"""The three operations exactly as lax and its automatic differentiation write them, for platforms without measurements.

XLA rewrites these forms to the convolutions of vendor libraries. A grouped kernel gradient with `batch_group_count`
becomes cuDNN's backward filter; in the form of `lax.py` it does not. So jconv is never slower than lax there. Each
operation has the dimension numbers, strides, dilations and padding of lax's transpose rules. 16-bit floats accumulate
as in lax's convolution, which is in float32 on GPUs and TPUs. The algorithm `"lax"` means `lax.py` on a CPU and this
module elsewhere.

`jax.vjp` of lax's convolution would give the same convolutions, but a second sum over the mesh in `jax.shard_map` (see
`__init__.py`).
"""

from __future__ import annotations

from typing import Any

import jax

from ..geometry import Geometry, is_symbolic
from . import lax as canonical
from .shared.operands import input_gradient_padding, kernel_gradient_padding


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """lax's convolution."""
    g = geometry
    if is_symbolic(g.low) or is_symbolic(g.high):
        return canonical.forward(x, kernel, g, precision)  # lax takes no symbolic padding
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(g.stride,),
        padding=[(g.low, g.high)],
        rhs_dilation=(g.dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=g.groups,
        precision=precision,
    )


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """lax's transpose rule for its left operand: the dimension numbers exchange the channels of the kernel."""
    g = geometry
    padding = input_gradient_padding(g)
    if any(is_symbolic(amount) for amount in padding):
        return canonical.input_gradient(y_bar, kernel, g, precision)
    if g.groups > 1:  # The group moves from the out channels to the in channels.
        kernel_size, in_per_group, out_channels = kernel.shape
        kernel = kernel.reshape(kernel_size, in_per_group, g.groups, out_channels // g.groups)
        kernel = kernel.transpose(0, 2, 1, 3).reshape(kernel_size, g.groups * in_per_group, out_channels // g.groups)
    return jax.lax.conv_general_dilated(
        y_bar,
        jax.lax.rev(kernel, (0,)),
        window_strides=(1,),
        padding=[padding],
        lhs_dilation=(g.stride,),
        rhs_dilation=(g.dilation,),
        dimension_numbers=("NWC", "WOI", "NWC"),
        feature_group_count=g.groups,
        precision=precision,
    )


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """lax's transpose rule for its right operand exchanges batch and channels; groups become groups of the batch."""
    g = geometry
    padding = kernel_gradient_padding(g)
    if any(is_symbolic(amount) for amount in padding):
        return canonical.kernel_gradient(x, y_bar, g, precision)
    return jax.lax.conv_general_dilated(
        x,
        y_bar,
        window_strides=(g.dilation,),
        padding=[padding],
        rhs_dilation=(g.stride,),
        dimension_numbers=("CWN", "IWO", "WNC"),
        batch_group_count=g.groups,
        precision=precision,
    )
