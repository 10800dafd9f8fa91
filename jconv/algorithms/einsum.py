"""The definition of the convolution in `jax.numpy`: pad, extract every window, contract with the kernel.

Each operation is slices (or a gather) and one contraction, without an XLA convolution. XLA's partitioner handles
contractions correctly for every sharding of the operands. So programs for several devices also use this algorithm
where custom partitioning is not available. For kernel size 1 and stride 1 the contraction is a plain matrix product.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..geometry import Geometry, is_symbolic, make_geometry
from .shared.operands import accumulating_einsum, dilate_and_pad, pad_input, split_groups, transpose_kernel

LOCAL = True

# Up to this kernel size the windows are strided slices, one per tap, which XLA fuses into the contraction. For longer
# kernels that takes long to compile, so they use one gather.
MAX_SLICES = 64


def unfold(x: jax.Array, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> jax.Array:
    """Extracts every window of `x`.

    Window `t` holds `x[..., t * stride + k * dilation, :]` for each tap `k`.

    Args:
        x: Array of shape (..., length, channels). It is not padded.
        kernel_size: Number of samples in a window.
        stride: Distance between the first samples of consecutive windows.
        dilation: Distance between consecutive samples of a window.

    Returns:
        An array of shape (..., windows, kernel_size, channels).

    Raises:
        ValueError: A size is less than 1, or `x` is shorter than `(kernel_size - 1) * dilation + 1`.

    >>> unfold(jnp.arange(8.0)[:, None], 3, stride=2, dilation=2)[..., 0].tolist()
    [[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]]
    """
    x = jnp.asarray(x)
    checks.check_input(x, "unfold")
    geometry = make_geometry(x.shape[-2], kernel_size, stride=stride, dilation=dilation)
    # The geometry has converted these to Python integers.
    kernel_size, stride, dilation = geometry.kernel_size, geometry.stride, geometry.dilation
    windows = geometry.out_length
    if kernel_size == 1 and stride == 1:
        return x[..., None, :]
    if kernel_size > MAX_SLICES:
        first = jnp.arange(windows, dtype=np.int32)[:, None] * stride
        at = first + np.arange(kernel_size, dtype=np.int32) * dilation
        return jnp.take(x, at, axis=-2, mode="clip")
    axis = x.ndim - 2
    taps = []
    for k in range(kernel_size):
        first = k * dilation
        last = first + (windows - 1) * stride
        taps.append(jax.lax.slice_in_dim(x, first, last + 1, stride, axis=axis))
    return jnp.stack(taps, axis=-2)


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y[n, t, o] = sum_k sum_c x[n, t * stride + k * dilation - low, c] * kernel[k, c, o]`."""
    g = geometry
    windows = unfold(pad_input(x, g), g.kernel_size, stride=g.stride, dilation=g.dilation)
    return _contract(windows, kernel, g.groups, precision)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward contraction with the dilated `y_bar` and the transposed kernel."""
    g = geometry
    windows = unfold(dilate_and_pad(y_bar, g), g.kernel_size, dilation=g.dilation)
    return _contract(windows, transpose_kernel(kernel, g), g.groups, precision)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Contracts the windows of `x` with `y_bar` over batch and time."""
    g = geometry
    if g.groups == g.dilation == 1 and not is_symbolic(x.shape[0]) and x.shape[0] == 1:
        # Contract over time only. To contract over batch and time, XLA would transpose the windows first, which takes
        # 1.8 times as long.
        kernel_bar = accumulating_einsum("ta,to->ao", _rows(pad_input(x, g)[0], g), y_bar[0], precision)
        return kernel_bar.reshape(g.kernel_size, x.shape[-1], y_bar.shape[-1]).astype(x.dtype)
    windows = unfold(pad_input(x, g), g.kernel_size, stride=g.stride, dilation=g.dilation)
    if g.groups == 1:
        return accumulating_einsum("ntki,nto->kio", windows, y_bar, precision).astype(x.dtype)
    kernel_bar = accumulating_einsum(
        "ntkgi,ntgo->kigo", split_groups(windows, g.groups), split_groups(y_bar, g.groups), precision
    )
    return kernel_bar.reshape(*kernel_bar.shape[:2], y_bar.shape[-1]).astype(x.dtype)


def _rows(x: jax.Array, g: Geometry) -> jax.Array:
    """Returns the windows of one padded example (length, channels) as rows (out_length, kernel_size * channels).

    Concatenating the taps instead would be four times as slow: XLA would write one loop that selects the tap for each
    element.
    """
    starts = jax.lax.iota(np.int32, g.out_length) * g.stride
    rows = jax.vmap(lambda start: jax.lax.dynamic_slice_in_dim(x, start, g.kernel_size))(starts)
    return rows.reshape(g.out_length, g.kernel_size * x.shape[-1])


def _contract(windows: jax.Array, kernel: jax.Array, groups: int, precision: Any) -> jax.Array:
    if groups == 1:
        return accumulating_einsum("ntki,kio->nto", windows, kernel, precision).astype(kernel.dtype)
    y = accumulating_einsum("ntkgi,kigo->ntgo", split_groups(windows, groups), split_groups(kernel, groups), precision)
    return y.reshape(*y.shape[:-2], kernel.shape[-1]).astype(kernel.dtype)
