"""The definition of each convolution and its adjoints in NumPy, which all of jconv is tested against.

Results are in float64, or in complex128 if an argument is complex. Complex arguments give derivatives to the last digit
by the complex-step method (Squire and Trapp, SIAM Review 40(1), 1998): `imag(f(x + 1e-30j * v)) / 1e-30`. For this,
nothing here conjugates, takes an absolute value or compares imaginary parts.

The adjoints are derived by hand from the definition, not from the forward code. `one_by_one` defines `lengths` and
`segment_ids`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import checks
from ..geometry import Geometry, Padding, make_geometry
from ..hints import known_arguments
from .activations import resolve as resolve_activation

Array = np.ndarray[Any, Any]
Params = Mapping[str, Any]
Activation = str | Callable[[Any], Any] | None


def unfold(x: Any, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> Array:
    """Extracts every window of `x`, as a read-only view: `unfold(x)[..., t, k] = x[..., t * stride + k * dilation, :]`.

    Args:
        x: (..., length, channels). It is not padded.
        kernel_size: Number of samples in a window.
        stride: Samples from one window to the next.
        dilation: Samples from one sample of a window to the next.

    Returns:
        (..., windows, kernel_size, channels).

    Raises:
        ValueError: A size is less than 1, or `x` is shorter than the reach.

    >>> unfold(np.arange(8.0)[:, None], 3, stride=2, dilation=2)[..., 0]
    array([[0., 2., 4.],
           [2., 4., 6.]])
    """
    x = np.asarray(x)
    checks.check_input(x, "unfold")
    geometry = make_geometry(x.shape[-2], kernel_size, stride=stride, dilation=dilation)
    windows = np.lib.stride_tricks.sliding_window_view(x, geometry.reach, axis=-2)
    return np.moveaxis(windows[..., ::stride, :, ::dilation], -1, -2)


def pad(x: Any, low: int, high: int, mode: str = "zeros") -> Array:
    """Pads the length of `x`.

    Args:
        x: (..., length, channels).
        low: Samples to add before.
        high: Samples to add after.
        mode: `"zeros"`, or a mode of `numpy.pad`.

    Returns:
        (..., low + length + high, channels).

    >>> pad(np.array([[1.0], [2.0]]), 1, 2, "edge")[:, 0]
    array([1., 1., 2., 2., 2.])
    """
    x = np.asarray(x)
    widths = [(0, 0)] * (x.ndim - 2) + [(low, high), (0, 0)]
    numpy_mode: Any = "constant" if mode == "zeros" else mode
    return np.pad(x, widths, mode=numpy_mode)


def pad_adjoint(padded_bar: Any, length: int, low: int, high: int, mode: str = "zeros") -> Array:
    """The adjoint of `pad`: each sample of the padding adds its cotangent to the sample that it is a copy of.

    Args:
        padded_bar: The cotangent of the padded array, (..., low + length + high, channels).
        length: Samples without padding.
        low: As in `pad`.
        high: As in `pad`.
        mode: As in `pad`.

    Returns:
        (..., length, channels).

    >>> pad_adjoint(np.ones((5, 1)), 2, 1, 2, "edge")[:, 0]
    array([2., 3.])
    """
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
    """1-D cross-correlation in float64 or complex128: the definition of `jconv.conv1d`.

    `y[..., t, o] = bias[o] + sum_k sum_c x[..., t * stride + k * dilation - low, c] * kernel[k, c, o]`

    Args:
        params: As in `jconv.conv1d`.
        x: (..., length, in_channels).
        stride: As in `jconv.conv1d`, like all options up to `padding_mode`.
        padding: See `jconv.conv1d`.
        dilation: See `jconv.conv1d`.
        groups: See `jconv.conv1d`.
        padding_mode: See `jconv.conv1d`.
        activation: None, the name of a Keras activation, or a function of NumPy arrays.

    Returns:
        (..., out_length, out_channels).

    Raises:
        ValueError: As in `jconv.conv1d`.
        TypeError: `params` is not a dict.

    >>> conv1d({"kernel": np.ones((2, 1, 1))}, np.arange(4.0)[:, None], padding="causal")[:, 0]
    array([0., 1., 3., 5.])
    """
    act = resolve_activation(activation)
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, kernel, geometry, amounts = _check_conv1d("conv1d", params, x, padding_mode=padding_mode, **options)
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
    """The adjoint of `conv1d` without activation, derived by hand.

    Args:
        params: As in `conv1d`.
        x: As in `conv1d`.
        cotangent: An array with the shape of the output.
        stride: As in `conv1d`, like all options below.
        padding: See `conv1d`.
        dilation: See `conv1d`.
        groups: See `conv1d`.
        padding_mode: See `conv1d`.

    Returns:
        `(params_bar, x_bar)`, with the keys and shapes of `params` and the shape of `x`.

    Raises:
        ValueError: As in `conv1d`, or `cotangent` has another shape.
        TypeError: `params` is not a dict.

    >>> x, params = np.arange(4.0)[:, None], {"kernel": np.ones((2, 1, 1))}
    >>> params_bar, x_bar = conv1d_vjp(params, x, np.ones((3, 1)))
    >>> params_bar["kernel"].ravel(), x_bar.ravel()
    (array([3., 6.]), array([1., 2., 2., 1.]))
    """
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, kernel, geometry, amounts = _check_conv1d("conv1d_vjp", params, x, padding_mode=padding_mode, **options)
    y_bar = exact(cotangent)
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
    """The definition of `jconv.depthwise_conv1d`.

    Args:
        params: As in `jconv.depthwise_conv1d`: the kernel is (kernel_size, in_channels, multiplier).
        x: (..., length, in_channels).
        stride: As in `conv1d`, like all options below.
        padding: See `conv1d`.
        dilation: See `conv1d`.
        padding_mode: See `conv1d`.
        activation: See `conv1d`.

    Returns:
        (..., out_length, in_channels * multiplier).

    Raises:
        ValueError: As in `conv1d`.
        TypeError: `params` is not a dict.

    >>> depthwise_conv1d({"kernel": np.array([[[1.0], [10.0]]])}, np.array([[1.0, 2.0]]))
    array([[ 1., 20.]])
    """
    checks.check_params(params, checks.KERNEL, "depthwise_conv1d")
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
    """The definition of `jconv.separable_conv1d`.

    Args:
        params: As in `jconv.separable_conv1d`.
        x: (..., length, in_channels).
        stride: As in `conv1d`, like all options below.
        padding: See `conv1d`.
        dilation: See `conv1d`.
        padding_mode: See `conv1d`.
        activation: See `conv1d`.

    Returns:
        (..., out_length, out_channels).

    Raises:
        ValueError: As in `conv1d`.
        TypeError: `params` is not a dict.

    >>> params = {"depthwise_kernel": np.ones((2, 1, 1)), "pointwise_kernel": np.full((1, 1, 1), 3.0)}
    >>> separable_conv1d(params, np.array([[1.0], [2.0]]))
    array([[9.]])
    """
    checks.check_params(params, checks.SEPARABLE_KERNELS, "separable_conv1d")
    checks.check_pointwise(params)
    checks.check_input(x, "separable_conv1d")
    y = depthwise_conv1d(
        {"kernel": params["depthwise_kernel"]},
        x,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
    )
    pointwise = {"kernel": params["pointwise_kernel"], **({"bias": params["bias"]} if "bias" in params else {})}
    return conv1d(pointwise, y, activation=activation)


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
    """The definition of `jconv.conv1d_transpose`: the input gradient of a convolution.

    Args:
        params: As in `jconv.conv1d_transpose`: the kernel is (kernel_size, out_channels, in_channels).
        x: (..., length, in_channels).
        stride: As in `jconv.conv1d_transpose`, like all options below.
        padding: See `stride`.
        output_padding: See `stride`.
        dilation: See `stride`.
        activation: As in `conv1d`.

    Returns:
        (..., out_length, out_channels).

    Raises:
        ValueError: As in `jconv.conv1d_transpose`.
        TypeError: `params` is not a dict.

    >>> conv1d_transpose({"kernel": np.ones((2, 1, 1))}, np.arange(1.0, 4.0)[:, None], stride=2)[:, 0]
    array([1., 1., 2., 2., 3., 3.])
    """
    act = resolve_activation(activation)
    checks.check_params(params, checks.KERNEL, "conv1d_transpose")
    checks.check_input(x, "conv1d_transpose")
    x, kernel = exact(x), exact(params["kernel"])
    geometry = checks.transpose_geometry(
        x, kernel, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    checks.check_bias(params, kernel.shape[1])
    y = input_gradient(x, kernel, geometry)
    return act(y + exact(params["bias"]) if "bias" in params else y)


def forward(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """The convolution without bias and activation.

    Args:
        x: (..., length, in_channels).
        kernel: (kernel_size, in_channels // groups, out_channels).
        geometry: The geometry, a `jconv.geometry.Geometry`.

    Returns:
        (..., out_length, out_channels).

    >>> forward(np.ones((3, 1)), np.ones((2, 1, 1)), Geometry(length=3, kernel_size=2))[:, 0]
    array([2., 2.])
    """
    windows = _windows_by_group(x, geometry)
    y = np.einsum("...tkgi,kigo->...tgo", windows, _split_groups(kernel, geometry.groups), optimize=True)
    return y.reshape(*y.shape[:-2], kernel.shape[-1])


def input_gradient(y_bar: Array, kernel: Array, geometry: Geometry) -> Array:
    """The adjoint of `forward` in x.

    Args:
        y_bar: The cotangent of the output, (..., out_length, out_channels).
        kernel: As in `forward`.
        geometry: As in `forward`.

    Returns:
        (..., length, in_channels).

    >>> input_gradient(np.ones((2, 1)), np.ones((2, 1, 1)), Geometry(length=3, kernel_size=2))[:, 0]
    array([1., 2., 1.])
    """
    g = geometry
    kernel, y_bar = _split_groups(kernel, g.groups), _split_groups(y_bar, g.groups)
    taps = np.einsum("...tgo,kigo->...tkgi", y_bar, kernel, optimize=True)
    channels = kernel.shape[1] * g.groups
    padded = np.zeros((*y_bar.shape[:-3], g.low + g.length + g.high, channels), taps.dtype)
    for k in range(g.kernel_size):
        first = k * g.dilation
        last = first + (g.out_length - 1) * g.stride
        padded[..., first : last + 1 : g.stride, :] += taps[..., k, :, :].reshape(*taps.shape[:-3], channels)
    return padded[..., g.low : g.low + g.length, :]


def kernel_gradient(x: Array, y_bar: Array, geometry: Geometry) -> Array:
    """The adjoint of `forward` in the kernel, summed over all leading axes.

    Args:
        x: As in `forward`.
        y_bar: The cotangent of the output, (..., out_length, out_channels).
        geometry: As in `forward`.

    Returns:
        (kernel_size, in_channels // groups, out_channels).

    >>> kernel_gradient(np.ones((3, 1)), np.ones((2, 1)), Geometry(length=3, kernel_size=2))[:, 0, 0]
    array([2., 2.])
    """
    windows = _windows_by_group(x, geometry)
    windows = windows.reshape(-1, *windows.shape[-4:])
    grouped = _split_groups(y_bar, geometry.groups)
    grouped = grouped.reshape(-1, *grouped.shape[-3:])
    kernel_bar = np.einsum("ntkgi,ntgo->kigo", windows, grouped, optimize=True)
    return kernel_bar.reshape(*kernel_bar.shape[:2], y_bar.shape[-1])


def _check_conv1d(
    caller: str, params: Params, x: Any, **options: Any
) -> tuple[Array, Array, Geometry, tuple[int, int]]:
    """Checks the arguments; returns `x`, the kernel and the result of `checks.conv_geometry`."""
    checks.check_params(params, checks.KERNEL, "conv1d")
    checks.check_input(x, caller)
    x, kernel = exact(x), exact(params["kernel"])
    geometry, amounts = checks.conv_geometry(x, kernel, **options)
    checks.check_bias(params, kernel.shape[2])
    return x, kernel, geometry, amounts


def _windows_by_group(x: Array, g: Geometry) -> Array:
    windows = unfold(pad(x, g.low, g.high), g.kernel_size, stride=g.stride, dilation=g.dilation)
    return _split_groups(windows, g.groups)


def _split_groups(array: Array, groups: int) -> Array:
    # The last size is explicit because -1 is ambiguous for an empty batch.
    return array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)


def exact(array: Any) -> Array:
    """Converts an array to float64, or to complex128 if it is complex.

    Args:
        array: Any array.

    Returns:
        The converted array.

    >>> exact([1, 2]).dtype
    dtype('float64')
    """
    array = np.asarray(array)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
