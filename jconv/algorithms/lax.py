"""XLA's own convolution, each operation written in the one form that its CPU compiler is fast at.

Other platforms get what lax itself writes: `lax_autodiff.py`.

The three faces are `lax.conv_general_dilated` with NWC, WIO, NWC layouts and the transposes spelled out. XLA's pass
that brings other layouts into that form walks the entry computation only, so the gradients that automatic
differentiation writes run 20 to 100 times slower in the body of a scan, while or cond (jax-ml/jax issue 12868);
these do not. `batch_group_count` is never used: it is slow for grouped kernels and partitioned wrongly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax

from ..geometry import Geometry, is_symbolic
from .operands import kernel_gradient_padding, pad, padded, spread_padding, swap_channels, wide_type

LOCAL = True

LAYOUT = ("NWC", "WIO", "NWC")


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """One convolution."""
    g = geometry
    return _conv(x, kernel, (g.low, g.high), stride=g.stride, dilation=g.dilation, groups=g.groups, precision=precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y_bar` spread out by the stride, convolved with the kernel reversed in time and swapped in channels."""
    g = geometry
    return _conv(
        y_bar,
        swap_channels(kernel, g),
        spread_padding(g),
        spread=g.stride,
        dilation=g.dilation,
        groups=g.groups,
        precision=precision,
    )


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """In channels stand in for the batch and `y_bar` for the kernel; stride and dilation change places.

    With groups it is a grouped forward convolution whose input features are (group, batch).
    """
    g = geometry
    batch, length, in_channels = x.shape
    in_per_group = in_channels // g.groups
    rows = x.reshape(batch, length, g.groups, in_per_group).transpose(3, 1, 2, 0)
    rows = rows.reshape(in_per_group, length, g.groups * batch)
    return taps(rows, y_bar.transpose(1, 0, 2), g, precision).transpose(1, 0, 2)


def taps(rows: jax.Array, columns: jax.Array, geometry: Geometry, precision: Any) -> jax.Array:
    """The kernel's gradient as (in channels, kernel_size, out channels).

    `rows` is x as (in channels of a group, length, groups * batch), `columns` is y_bar as (out_length, batch, out
    channels).
    """
    g = geometry
    batch = columns.shape[1]
    if g.groups == g.stride == 1 and not is_symbolic(batch) and batch == 1:
        # With one input feature a convolution that pads is slow: (1, 150, 64) to 128 channels with 5 taps takes 0.28 ms
        # so, 0.13 padded before; with a batch of 5 it is the same (JAX 0.10.2).
        rows = padded(rows, g)
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
    spread: int = 1,
    dilation: int = 1,
    groups: int = 1,
    precision: Any = None,
) -> jax.Array:
    # Never negative padding: XLA's convolution on a CPU then reads past the end of its operand and says nothing (JAX
    # 0.10.2; right in 0.12). Nor symbolic padding, as in jax.export: a convolution wants numbers. lax.pad takes both.
    if any(is_symbolic(amount) or amount < 0 for amount in padding):
        x, padding, spread = pad(x, *padding, spread - 1), (0, 0), 1
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride,),
        padding=[padding],
        lhs_dilation=(spread,),
        rhs_dilation=(dilation,),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=wide_type(x),
    ).astype(x.dtype)
