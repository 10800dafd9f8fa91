"""XLA's convolution, with each operation in the form for which XLA's CPU compiler has a fast kernel.

That form is `lax.conv_general_dilated` with NWC, WIO, NWC layouts and explicit transposes. XLA converts other layouts
to it in the entry computation only. In the body of a scan, while or cond, the gradients of automatic differentiation
are therefore 20 to 100 times slower (jax-ml/jax issue 12868) than the gradients of this module. `batch_group_count` is
not used: it is slow for grouped kernels, and XLA partitions it incorrectly.

Platforms other than the CPU use `lax_autodiff.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ..geometry import Geometry, is_symbolic
from .shared.operands import (
    accumulation_dtype,
    input_gradient_padding,
    kernel_gradient_padding,
    pad,
    pad_input,
    split_groups,
    transpose_kernel,
)

LOCAL = True

LAYOUT = ("NWC", "WIO", "NWC")


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One convolution."""
    g = geometry
    return _conv(x, kernel, (g.low, g.high), stride=g.stride, dilation=g.dilation, groups=g.groups, precision=precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Convolves the dilated `y_bar` with the transposed kernel."""
    g = geometry
    return _conv(
        y_bar,
        transpose_kernel(kernel, g),
        input_gradient_padding(g),
        input_dilation=g.stride,
        dilation=g.dilation,
        groups=g.groups,
        precision=precision,
    )


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Convolves `x` with `y_bar` as the kernel: in channels are the batch, and stride and dilation are swapped.

    With groups it is a grouped convolution whose input features are (group, batch).
    """
    g = geometry
    batch, length, in_channels = x.shape
    in_per_group = in_channels // g.groups
    rows = x.reshape(batch, length, g.groups, in_per_group).transpose(3, 1, 2, 0)
    rows = rows.reshape(in_per_group, length, g.groups * batch)
    return transposed_kernel_gradient(rows, y_bar.transpose(1, 0, 2), g, precision).transpose(1, 0, 2)


def transposed_kernel_gradient(rows: jax.Array, columns: jax.Array, geometry: Geometry, precision: Any) -> jax.Array:
    """Computes the kernel gradient from transposed operands.

    Args:
        rows: `x` as (in_channels // groups, length, groups * batch).
        columns: `y_bar` as (out_length, batch, out_channels).
        geometry: The geometry.
        precision: As in `jax.lax.conv_general_dilated`.

    Returns:
        The kernel gradient as (in_channels // groups, kernel_size, out_channels).
    """
    g = geometry
    batch = columns.shape[1]
    if g.groups == g.stride == 1 and not is_symbolic(batch) and batch == 1:
        # With one input feature, XLA's convolution is twice as fast if the operand is padded first.
        rows = pad_input(rows, g)
        g = replace(g, length=rows.shape[1], low=0, high=0)
    return _conv(
        rows,
        columns,
        kernel_gradient_padding(g),
        stride=g.dilation,
        dilation=g.stride,
        groups=g.groups,
        precision=precision,
    )


def _conv(
    x: jax.Array,
    kernel: jax.Array,
    padding: tuple[int, int],
    *,
    stride: int = 1,
    input_dilation: int = 1,
    dilation: int = 1,
    groups: int = 1,
    precision: Any = None,
) -> jax.Array:
    in_per_group = kernel.shape[1]
    if groups > 1 and accumulation_dtype(x) == jnp.float64 and not is_symbolic(in_per_group) and in_per_group == 1:
        # If each group has one in channel, XLA's CPU compiler converts a float64 convolution to a dense one, whose
        # kernel has zeros for the other groups. It has `groups` times as many multiply-adds, and a NaN would spread to
        # all groups. So the groups are computed in a loop.
        options = {"stride": stride, "input_dilation": input_dilation, "dilation": dilation}
        by_group = tuple(jnp.moveaxis(split_groups(operand, groups), -2, 0) for operand in (x, kernel))
        y = jax.lax.map(lambda pair: _conv(pair[0], pair[1], padding, precision=precision, **options), by_group)
        return jnp.moveaxis(y, 0, -2).reshape(*y.shape[1:-1], kernel.shape[-1])
    # lax.pad accepts negative and symbolic padding. With negative padding, XLA's convolution on CPUs silently reads
    # past the end of its operand (JAX 0.10.2; correct in 0.12). It rejects symbolic padding, as in jax.export.
    if any(is_symbolic(amount) or amount < 0 for amount in padding):
        x, padding, input_dilation = pad(x, *padding, input_dilation - 1), (0, 0), 1
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride,),
        padding=[padding],
        lhs_dilation=(input_dilation,),
        rhs_dilation=(dilation,),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=accumulation_dtype(x),
    ).astype(x.dtype)
