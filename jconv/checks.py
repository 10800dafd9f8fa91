"""What a convolution's arguments must be, checked before anything is computed.

One module for the NumPy reference and for JAX, so that both refuse the same mistakes in the same words. Only shapes
and dtype names are looked at: arrays of any library pass through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .geometry import (
    PADDING_MODES,
    Geometry,
    Padding,
    check_positive,
    is_integer,
    is_symbolic,
    make_geometry,
    pad_amounts,
    transposed_geometry,
)
from .hints import MODES, did_you_mean, meant, shown

WEIGHT = "; a PyTorch weight (out_channels, in_channels, kernel_size) is the kernel with its axes reversed"
DTYPES = ("float32", "float64", "bfloat16", "float16")


def check_params(params: Mapping[str, Any], names: Mapping[str, int], caller: str) -> None:
    """Raise unless `params` is a dict with every array of `names` (name to rank), and `"bias"` or not.

    Raises `TypeError` for something that is no mapping, `ValueError` for a missing or unknown key or a wrong rank.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"{caller} takes params as a dict with {_listed(names)}, got {type(params).__name__}")
    for name in names:
        if name not in params:
            hint = WEIGHT if name == "kernel" and "weight" in params else ""
            raise ValueError(f"{caller} needs params[{name!r}]; params has {_listed(params) or 'no key'}{hint}")
    for name in params:
        if name not in names and name != "bias":
            raise ValueError(f"{caller} does not know params[{name!r}]; the keys are {_listed([*names, 'bias'])}")
    for name, rank in names.items():
        shape = _shape(f"params[{name!r}]", params[name])
        if len(shape) != rank:
            raise ValueError(f"params[{name!r}] must have {rank} axes, got shape {shape}")
        if any(not is_symbolic(size) and size < 1 for size in shape):
            raise ValueError(f"params[{name!r}] must not be empty, got shape {shape}")
    if "bias" in params:
        _shape("params['bias']", params["bias"], hint="leave the key out for no bias")


def _shape(name: str, value: Any, hint: str = "") -> tuple[Any, ...]:
    """The shape of an array, or of numbers in lists; raises `ValueError` for anything else."""
    if hasattr(value, "shape"):
        return tuple(value.shape)
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = None
    if array is None or array.dtype.kind not in "biufc" or value is True or value is False:
        hint = f"; {hint}" if hint and not value else ""
        raise ValueError(f"{name} must be an array, got {shown(value)}{hint}")
    return array.shape


def check_input(x: Any, caller: str) -> None:
    """Raise `ValueError` unless `x` has the axes (..., length, channels), neither of the last two empty."""
    shape = _shape(f"x of {caller}", x)
    if len(shape) < 2:
        raise ValueError(f"{caller} takes x of shape (..., length, channels), got shape {shape}")
    for name, size in (("length", shape[-2]), ("channel count", shape[-1])):
        if not is_symbolic(size) and size < 1:
            raise ValueError(f"the {name} of x must be at least 1, got shape {shape}")


def check_bias(params: Mapping[str, Any], out_channels: int) -> None:
    """Raise `ValueError` unless the bias, where there is one, has shape `(out_channels,)`."""
    if "bias" in params and np.shape(params["bias"]) != (out_channels,):
        raise ValueError(f"params['bias'] must have shape {(out_channels,)}, got {np.shape(params['bias'])}")


def check_key(key: Any) -> None:
    """Raise `ValueError` unless `key` may be one of `jax.random`'s."""
    if not hasattr(key, "dtype") or isinstance(key, np.integer):
        hint = did_you_mean(f"jax.random.key({int(key)})" if is_integer(key) else None)
        raise ValueError(f"key must be one of jax.random.key, got {shown(key)}{hint}")


def check_pointwise(params: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless the pointwise kernel has one tap and takes what the depthwise kernel gives."""
    depthwise, pointwise = np.shape(params["depthwise_kernel"]), np.shape(params["pointwise_kernel"])
    channels = depthwise[1] * depthwise[2]
    if pointwise[:2] != (1, channels):
        raise ValueError(
            f"params['pointwise_kernel'] must have shape (1, {channels}, out_channels) after a depthwise kernel of "
            f"shape {depthwise}, got {pointwise}"
        )


def check_dtype(name: str, array: Any) -> None:
    """Raise `TypeError` unless the array is of one of the four real floating types that JAX computes here."""
    if str(array.dtype) not in DTYPES:
        raise TypeError(f"{name} must be {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {array.dtype}; cast it first")


def check_padding_mode(padding_mode: Any) -> None:
    """Raise `ValueError` for a padding mode that there is not."""
    if padding_mode not in PADDING_MODES:
        hint = meant(padding_mode, PADDING_MODES, MODES)
        hint = did_you_mean(None if hint is None else repr(hint))
        raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}{hint}")


def conv_geometry(
    x: Any,
    kernel: Any,
    *,
    stride: int,
    padding: Padding,
    dilation: int,
    groups: int,
    padding_mode: str,
) -> tuple[Geometry, tuple[int, int]]:
    """Check `x` and a Keras-layout kernel against each other; return the geometry and what to pad beforehand.

    With `padding_mode="zeros"` the zeros are part of the geometry and the second value is `(0, 0)`. The other modes
    pad the array first, `(low, high)` samples, and the geometry is the valid convolution of the padded array.
    """
    kernel_size, in_per_group, out_channels = kernel.shape
    groups = check_positive("groups", groups)
    stride, dilation = check_positive("stride", stride), check_positive("dilation", dilation)
    if x.shape[-1] != in_per_group * groups:
        kernel_shape = tuple(kernel.shape)
        raise ValueError(
            f"x has {x.shape[-1]} channels, but a kernel of shape {kernel_shape} with groups={groups} "
            f"takes {in_per_group * groups}"
        )
    if out_channels % groups:
        raise ValueError(f"groups={groups} does not divide the kernel's {out_channels} out channels")
    check_padding_mode(padding_mode)
    length = x.shape[-2]
    options = {"stride": stride, "dilation": dilation}
    geometry = make_geometry(length, kernel_size, padding=padding, groups=groups, **options)
    if padding_mode == "zeros":
        return geometry, (0, 0)
    low, high = pad_amounts(length, kernel_size, padding=padding, **options)
    return make_geometry(length + low + high, kernel_size, groups=groups, **options), (low, high)


def depthwise_kernel(kernel: Any, x: Any) -> Any:
    """Keras's depthwise kernel (kernel_size, channels, multiplier) as a grouped one, of one in channel a group.

    The result is (kernel_size, 1, channels * multiplier): out channel `c * multiplier + m` reads in channel `c`, which
    is the order of Keras's output. Raises `ValueError` unless `x` has as many channels.
    """
    kernel_size, channels, multiplier = kernel.shape
    if x.shape[-1] != channels:
        raise ValueError(
            f"x has {x.shape[-1]} channels, but a depthwise kernel of shape {tuple(kernel.shape)} "
            f"(kernel_size, in_channels, multiplier) takes {channels}"
        )
    return kernel.reshape(kernel_size, 1, channels * multiplier)


def transpose_geometry(
    x: Any, kernel: Any, *, stride: int, padding: str, output_padding: int | None, dilation: int
) -> Geometry:
    """Check `x` against a transposed kernel (kernel_size, out_channels, in_channels); return the geometry.

    It is the geometry of the convolution whose input gradient the transposed convolution is.
    """
    kernel_size, _, in_channels = kernel.shape
    if x.shape[-1] != in_channels:
        raise ValueError(
            f"x has {x.shape[-1]} channels, but a transposed kernel of shape {tuple(kernel.shape)} "
            f"(kernel_size, out_channels, in_channels) takes {in_channels}"
        )
    return transposed_geometry(
        x.shape[-2], kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )


def _listed(names: Any) -> str:
    return ", ".join(sorted(repr(name) for name in names))
