"""NumPy: what each convolution *is*, forward and adjoint. Everything else in jconv is held to this file.

Values are computed in float64, or in complex128 where an argument is complex; both are exact to rounding and
neither is fast. Complex arguments make derivatives known to the last digit without finite differences, by the
complex step of Squire and Trapp (SIAM Review 40(1), 1998): `imag(f(x + 1e-30j * v)) / 1e-30`. For that to hold
nothing here conjugates, takes a modulus or compares imaginary parts.

What `lengths` and `segment_ids` mean is `one_by_one`, for each function here.

The adjoints are derived by hand from the definition, not from the forward code, and use no JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import checks
from ..geometry import Geometry, Padding, make_geometry
from ..geometry import ShortInput as ShortInput
from ..hints import known_arguments
from .activations import resolve as resolve_activation
from .sequences import one_by_one as one_by_one
from .sequences import runs as runs

Array = np.ndarray[Any, Any]
Params = Mapping[str, Any]
Activation = str | Callable[[Any], Any] | None


def unfold(x: Any, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> Array:
    """Every window of `x`, as a read-only strided view: no copy is made.

    `x` has shape (..., length, channels); the result (..., windows, kernel_size, channels), and
    `unfold(x)[..., t, k, :]` is `x[..., t * stride + k * dilation, :]`.

    Raises `ValueError` for sizes below one and an `x` shorter than the reach.

    >>> unfold(np.arange(8.0)[:, None], 3, stride=2, dilation=2)[..., 0]
    array([[0., 2., 4.],
           [2., 4., 6.]])
    """
    x = np.asarray(x)
    checks.check_input(x, "unfold")
    geometry = make_geometry(x.shape[-2], kernel_size, stride=stride, dilation=dilation)
    # One window a sample, each of `reach` samples; then every stride-th window and every dilation-th sample of it.
    every = np.lib.stride_tricks.sliding_window_view(x, geometry.reach, axis=-2)
    return np.moveaxis(every[..., ::stride, :, ::dilation], -1, -2)


def pad(x: Any, low: int, high: int, mode: str = "zeros") -> Array:
    """`x` of shape (..., length, channels) with `low` and `high` samples more; modes are those of `numpy.pad`."""
    x = np.asarray(x)
    widths = [(0, 0)] * (x.ndim - 2) + [(low, high), (0, 0)]
    numpy_mode: Any = "constant" if mode == "zeros" else mode
    return np.pad(x, widths, mode=numpy_mode)


def pad_adjoint(padded_bar: Any, length: int, low: int, high: int, mode: str = "zeros") -> Array:
    """The adjoint of `pad`: each sample of the padding adds its cotangent to the sample it was copied from."""
    padded_bar = np.asarray(padded_bar)
    if mode == "zeros":
        return padded_bar[..., low : low + length, :]
    source = pad(np.arange(length)[:, None], low, high, mode)[:, 0]
    x_bar = np.zeros((*padded_bar.shape[:-2], length, padded_bar.shape[-1]), padded_bar.dtype)
    np.add.at(np.moveaxis(x_bar, -2, 0), source, np.moveaxis(padded_bar, -2, 0))
    return x_bar


@known_arguments
def conv1d(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    activation: Activation = None,
) -> Array:
    """1-D cross-correlation in float64 or complex128; the definition of `jconv.conv1d`.

    `y[..., t, o] = bias[o] + sum_k sum_c x[..., t * stride + k * dilation - low, c] * kernel[k, c, o]`

    `x` is (..., length, in_channels), `params["kernel"]` (kernel_size, in_channels // groups, out_channels),
    `params["bias"]` (out_channels,) or absent; the result (..., out_length, out_channels). `activation` is a name
    of Keras's or a function of NumPy arrays. Raises what `jconv.conv1d` raises, except for the dtype.

    >>> conv1d({"kernel": np.ones((2, 1, 1))}, np.arange(4.0)[:, None], padding="causal")[:, 0]
    array([0., 1., 3., 5.])
    """
    act = resolve_activation(activation)
    checks.check_params(params, {"kernel": 3}, "conv1d")
    checks.check_input(x, "conv1d")
    x, kernel = exact(x), exact(params["kernel"])
    geometry, amounts = checks.conv_geometry(
        x,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )
    checks.check_bias(params, kernel.shape[2])
    y = forward(pad(x, *amounts, padding_mode), kernel, geometry)
    return act(y + exact(params["bias"]) if "bias" in params else y)


@known_arguments
def conv1d_vjp(
    params: Params,
    x: Any,
    cotangent: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> tuple[dict[str, Array], Array]:
    """The hand-derived adjoint of `conv1d` without activation: `(params_bar, x_bar)`.

    `cotangent` has the shape of the output; `params_bar` the keys and shapes of `params`, `x_bar` the shape of `x`.

    >>> x, params = np.arange(4.0)[:, None], {"kernel": np.ones((2, 1, 1))}
    >>> params_bar, x_bar = conv1d_vjp(params, x, np.ones((3, 1)))
    >>> params_bar["kernel"].ravel(), x_bar.ravel()
    (array([3., 6.]), array([1., 2., 2., 1.]))
    """
    checks.check_params(params, {"kernel": 3}, "conv1d")
    checks.check_input(x, "conv1d_vjp")
    x, kernel, y_bar = exact(x), exact(params["kernel"]), exact(cotangent)
    geometry, amounts = checks.conv_geometry(
        x,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )
    checks.check_bias(params, kernel.shape[2])
    expected = (*x.shape[:-2], geometry.out_length, kernel.shape[2])
    if y_bar.shape != expected:
        raise ValueError(f"cotangent must have the output's shape {expected}, got {y_bar.shape}")
    params_bar = {"kernel": kernel_gradient(pad(x, *amounts, padding_mode), y_bar, geometry)}
    if "bias" in params:
        params_bar["bias"] = y_bar.sum(axis=tuple(range(y_bar.ndim - 1)))
    return params_bar, pad_adjoint(input_gradient(y_bar, kernel, geometry), x.shape[-2], *amounts, padding_mode)


@known_arguments
def depthwise_conv1d(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    padding_mode: str = "zeros",
    activation: Activation = None,
) -> Array:
    """Each channel with its own kernels; `params["kernel"]` is (kernel_size, in_channels, multiplier), as in Keras."""
    checks.check_params(params, {"kernel": 3}, "depthwise_conv1d")
    checks.check_input(x, "depthwise_conv1d")
    kernel = checks.depthwise_kernel(exact(params["kernel"]), np.asarray(x))
    return conv1d(
        {**params, "kernel": kernel},
        x,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=np.shape(x)[-1],
        padding_mode=padding_mode,
        activation=activation,
    )


@known_arguments
def separable_conv1d(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    padding_mode: str = "zeros",
    activation: Activation = None,
) -> Array:
    """A depthwise convolution, then one of kernel size 1, with the param names of Keras."""
    checks.check_params(params, {"depthwise_kernel": 3, "pointwise_kernel": 3}, "separable_conv1d")
    checks.check_pointwise(params)
    checks.check_input(x, "separable_conv1d")
    inner = depthwise_conv1d(
        {"kernel": params["depthwise_kernel"]},
        x,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
    )
    outer = {"kernel": params["pointwise_kernel"], **({"bias": params["bias"]} if "bias" in params else {})}
    return conv1d(outer, inner, activation=activation)


@known_arguments
def conv1d_transpose(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: str = "valid",
    output_padding: int | None = None,
    dilation: int = 1,
    activation: Activation = None,
) -> Array:
    """Keras's transposed convolution: the input gradient of a convolution; kernel (kernel_size, out, in).

    >>> conv1d_transpose({"kernel": np.ones((2, 1, 1))}, np.arange(1.0, 4.0)[:, None], stride=2)[:, 0]
    array([1., 1., 2., 2., 3., 3.])
    """
    act = resolve_activation(activation)
    checks.check_params(params, {"kernel": 3}, "conv1d_transpose")
    checks.check_input(x, "conv1d_transpose")
    x, kernel = exact(x), exact(params["kernel"])
    geometry = checks.transpose_geometry(
        x, kernel, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    checks.check_bias(params, kernel.shape[1])
    y = input_gradient(x, kernel, geometry)
    return act(y + exact(params["bias"]) if "bias" in params else y)


def forward(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """The bilinear map itself: (..., length, in), (kernel_size, in / groups, out) -> (..., out_length, out)."""
    windows = _grouped_windows(x, geometry)
    y = np.einsum("...tkgi,kigo->...tgo", windows, _by_group(kernel, geometry.groups), optimize=True)
    return y.reshape(*y.shape[:-2], kernel.shape[-1])


def input_gradient(y_bar: Array, kernel: Array, geometry: Geometry) -> Array:
    """Adjoint in x: every output sample gives back to the samples it read, tap by tap."""
    g = geometry
    kernel, y_bar = _by_group(kernel, g.groups), _by_group(y_bar, g.groups)
    taps = np.einsum("...tgo,kigo->...tkgi", y_bar, kernel, optimize=True)
    channels = kernel.shape[1] * g.groups
    padded = np.zeros((*y_bar.shape[:-3], g.low + g.length + g.high, channels), taps.dtype)
    for k in range(g.kernel_size):
        first = k * g.dilation
        last = first + (g.out_length - 1) * g.stride
        padded[..., first : last + 1 : g.stride, :] += taps[..., k, :, :].reshape(*taps.shape[:-3], channels)
    return padded[..., g.low : g.low + g.length, :]


def kernel_gradient(x: Array, y_bar: Array, geometry: Geometry) -> Array:
    """Adjoint in the kernel: each tap collects the product of what it read and what came back."""
    windows = _grouped_windows(x, geometry)
    windows = windows.reshape(-1, *windows.shape[-4:])
    grouped = _by_group(y_bar, geometry.groups)
    grouped = grouped.reshape(-1, *grouped.shape[-3:])
    kernel_bar = np.einsum("ntkgi,ntgo->kigo", windows, grouped, optimize=True)
    return kernel_bar.reshape(*kernel_bar.shape[:2], y_bar.shape[-1])


def _grouped_windows(x: Array, g: Geometry) -> Array:
    windows = unfold(pad(x, g.low, g.high), g.kernel_size, stride=g.stride, dilation=g.dilation)
    return _by_group(windows, g.groups)


def _by_group(array: Array, groups: int) -> Array:
    # Not -1 for the last size, which an empty batch leaves open.
    return array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)


def exact(array: Any) -> Array:
    """The array in float64, or complex128 where it is complex."""
    array = np.asarray(array)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
