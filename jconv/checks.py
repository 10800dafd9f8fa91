"""Checks the arguments of a convolution before anything is computed.

The NumPy reference and the JAX functions share these checks, so that their errors are the same. Only shapes and names
of dtypes are read, so arrays of any library are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    transposed_geometry,
)
from .hints import MODES, did_you_mean, format_names, shown, suggest

WEIGHT_HINT = (
    "; a PyTorch weight (out_channels, in_channels, kernel_size) is the kernel with its axes reversed: see jconv.torch"
)
KERNEL = {"kernel": 3}
SEPARABLE_KERNELS = {"depthwise_kernel": 3, "pointwise_kernel": 3}
"""The kernels of a convolution by their names in its params, and how many axes each has."""

DTYPES = ("float32", "float64", "bfloat16", "float16")


def check_params(params: Mapping[str, Any], names: Mapping[str, int], caller: str) -> None:
    """Checks that `params` is a dict with an array of the given rank for each name, and optionally `"bias"`.

    Raises:
        TypeError: `params` is not a mapping.
        ValueError: A key is missing or unknown, or an array is empty or has the wrong rank.
    """
    if not isinstance(params, Mapping):
        hint = did_you_mean("{'kernel': kernel}") if hasattr(params, "shape") and "kernel" in names else ""
        raise TypeError(
            f"{caller} takes params as a dict with {format_names(names)}, got {type(params).__name__}{hint}"
        )
    for name in names:
        if name not in params:
            hint = WEIGHT_HINT if name == "kernel" and "weight" in params else ""
            raise ValueError(
                f"{caller} needs params[{name!r}]; params has {format_names(params) if params else 'no key'}{hint}"
            )
    for name in params:
        if name not in names and name != "bias":
            raise ValueError(f"{caller} does not know params[{name!r}]; the keys are {format_names([*names, 'bias'])}")
    for name, rank in names.items():
        shape = _shape(f"params[{name!r}]", params[name])
        if len(shape) != rank:
            raise ValueError(f"params[{name!r}] must have {rank} axes, got shape {shape}")
        if any(not is_symbolic(size) and size < 1 for size in shape):
            raise ValueError(f"params[{name!r}] must not be empty, got shape {shape}")
    if "bias" in params:
        _shape("params['bias']", params["bias"], hint="leave the key out for no bias")


def _shape(name: str, value: Any, hint: str = "") -> tuple[Any, ...]:
    """Returns the shape of an array or of nested lists of numbers. Raises `ValueError` for anything else."""
    if hasattr(value, "shape"):
        if getattr(getattr(value, "dtype", None), "kind", None) in ("O", "S", "U"):
            raise ValueError(f"{name} must be an array of numbers, got dtype {value.dtype}; cast it first")
        return tuple(value.shape)
    try:
        array = np.asarray(value)
    except ValueError:  # Lists of different lengths.
        array = None
    if array is None or array.dtype.kind not in "iufc":
        hint = f"; {hint}" if hint and not value else ""
        raise ValueError(f"{name} must be an array, got {shown(value)}{hint}")
    return array.shape


def check_input(x: Any, caller: str) -> None:
    """Raises `ValueError` unless `x` has shape (..., length, channels), and neither of the last two axes is empty."""
    shape = _shape(f"x of {caller}", x)
    if len(shape) < 2:
        raise ValueError(f"{caller} takes x of shape (..., length, channels), got shape {shape}")
    for name, size in (("length", shape[-2]), ("channel count", shape[-1])):
        if not is_symbolic(size) and size < 1:
            raise ValueError(f"the {name} of x must be at least 1, got shape {shape}")


def check_bias(params: Mapping[str, Any], out_channels: int) -> None:
    """Raises `ValueError` if there is a bias whose shape is not `(out_channels,)`."""
    if "bias" in params and np.shape(params["bias"]) != (out_channels,):
        raise ValueError(f"params['bias'] must have shape {(out_channels,)}, got {np.shape(params['bias'])}")


def check_key(key: Any) -> None:
    """Raises `ValueError` if `key` cannot be a key of `jax.random`."""
    # A typed key has no axes and the dtype `key<fry>`, an untyped one is an array of integers.
    if not hasattr(key, "dtype") or (np.ndim(key) == 0 and not str(key.dtype).startswith("key<")):
        hint = did_you_mean(f"jax.random.key({key})" if is_integer(key) else None)
        raise ValueError(f"key must be a jax.random.key, got {shown(key)}{hint}")


def check_pointwise(params: Mapping[str, Any]) -> None:
    """Raises `ValueError` unless the pointwise kernel has one tap and reads the depthwise output channels."""
    depthwise, pointwise = np.shape(params["depthwise_kernel"]), np.shape(params["pointwise_kernel"])
    channels = depthwise[1] * depthwise[2]
    if pointwise[:2] != (1, channels):
        raise ValueError(
            f"params['pointwise_kernel'] must have shape (1, {channels}, out_channels) after a depthwise kernel of "
            f"shape {depthwise}, got {pointwise}"
        )


def check_dtype(name: str, array: Any) -> None:
    """Raises `TypeError` unless the dtype of the array is one of `DTYPES`."""
    if str(array.dtype) not in DTYPES:
        raise TypeError(f"{name} must be {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {array.dtype}; cast it first")


def check_padding_mode(padding_mode: Any) -> None:
    """Raises `ValueError` if the padding mode is unknown."""
    if padding_mode not in PADDING_MODES:
        hint = suggest(padding_mode, PADDING_MODES, MODES)
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
    """Checks `x` against a kernel in Keras's layout.

    Returns:
        The geometry, and the number of samples by which `x` is padded first, `(low, high)`. With
        `padding_mode="zeros"` the padding is part of the geometry, and the second value is `(0, 0)`. With the other
        modes the geometry is the valid convolution of the padded array.

    Raises:
        ValueError: Shapes and options do not match.
    """
    kernel_size, in_per_group, out_channels = kernel.shape
    groups = check_positive("groups", groups)
    stride, dilation = check_positive("stride", stride), check_positive("dilation", dilation)
    if x.shape[-1] != in_per_group * groups:
        needed = in_per_group * groups
        hint = "x.swapaxes(-1, -2), with channels last" if x.shape[-2] == needed else None
        raise ValueError(
            f"x has {x.shape[-1]} channels, but a kernel of shape {tuple(kernel.shape)} with groups={groups} takes "
            f"{needed}{did_you_mean(hint)}"
        )
    if out_channels % groups:
        raise ValueError(f"groups={groups} does not divide the kernel's {out_channels} out channels")
    check_padding_mode(padding_mode)
    g = make_geometry(x.shape[-2], kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if padding_mode == "zeros":
        return g, (0, 0)
    return replace(g, length=g.length + g.low + g.high, low=0, high=0), (g.low, g.high)


def depthwise_kernel(kernel: Any, x: Any) -> Any:
    """Reshapes Keras's depthwise kernel (kernel_size, channels, multiplier) to (kernel_size, 1, channels * multiplier).

    Out channel `c * multiplier + m` reads in channel `c`, as in Keras's output.

    Raises:
        ValueError: `x` has another number of channels.
    """
    kernel_size, channels, multiplier = kernel.shape
    if x.shape[-1] != channels:
        raise ValueError(
            f"x has {x.shape[-1]} channels, but a depthwise kernel of shape {tuple(kernel.shape)} "
            f"(kernel_size, in_channels, multiplier) takes {channels}"
        )
    # In two steps: JAX cannot do both in one reshape if the channels are explicitly sharded.
    return kernel.reshape(kernel_size, channels * multiplier)[:, None]


def transpose_geometry(
    x: Any, kernel: Any, *, stride: int, padding: str, output_padding: int | None, dilation: int
) -> Geometry:
    """Checks `x` against a transposed kernel (kernel_size, out_channels, in_channels).

    Returns:
        The geometry of the convolution whose input gradient is the transposed convolution.

    Raises:
        ValueError: Shapes and options do not match.
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
