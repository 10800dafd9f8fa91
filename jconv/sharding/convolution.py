"""Convolutions inside `jax.shard_map` of sequences whose length is sharded over mesh axes.

Each function takes a device's shard of the input and returns its shard of the output. The concatenated shards of all
devices are the sequence; samples from `length` on have no meaning. docs/guides/devices.md describes the communication,
and what a program on an automatic mesh does without these functions.

>>> import jconv
>>> from jax.sharding import PartitionSpec as P
>>> mesh = jax.make_mesh((jax.device_count(),), ("time",), (jax.sharding.AxisType.Auto,))
>>> params = {"kernel": jnp.ones((3, 1, 1))}
>>> shards = jax.shard_map(
...     lambda x: jconv.sharding.conv1d(params, x, axis_name="time", padding="causal"),
...     mesh=mesh, in_specs=P("time"), out_specs=P("time"),
... )
>>> shards(jnp.ones((16, 1)))[:4, 0].tolist()
[1.0, 2.0, 3.0, 3.0]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..algorithms.shared.operands import upcast
from ..checks import KERNEL, SEPARABLE_KERNELS
from ..functional import convolution as conv
from ..functional.options import Conv1DOptions, DepthwiseOptions, Params, TransposeOptions
from ..geometry import is_integer, make_geometry, transposed_geometry
from ..primitive.device_axis import DeviceAxis
from ..primitive.halo import plan_halo, read_window, slice_per_device, zero_beyond_length
from ..primitive.placement import match_varying_axes
from .boundary import fill_padding

AxisName = str | tuple[str, ...]
GEOMETRY_OPTIONS = ("stride", "padding", "dilation", "padding_mode")


def conv1d(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[Conv1DOptions]
) -> jax.Array:
    """Computes the device's shard of `jconv.conv1d` of the complete sequence.

    The kernel is replicated. Its gradient is summed over the devices, like the gradient of every replicated operand.

    Args:
        params: As in `jconv.conv1d`.
        x: (..., shard, in_channels), with the same size on every device.
        axis_name: The mesh axis that the length is sharded over, or several, the slowest-varying first.
        length: Samples of the complete sequence. Samples beyond it are not read. Default: all shards are full.
        **options: The options of `jconv.conv1d`, except `lengths` and `segment_ids`.

    Returns:
        (..., out_shard, out_channels), where `out_shard` is `ceil(shard / stride)`, or more if the devices together
        could not hold the complete output. Samples from `jconv.output_length(length, ...)` on are zero.

    Raises:
        ValueError: The shards do not hold `length` samples, or as in `jconv.conv1d`.
        TypeError: As in `jconv.conv1d`.

    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",), (jax.sharding.AxisType.Auto,))
    >>> params, options = {"kernel": jnp.ones((2, 1, 1))}, {"padding": (1, 0), "padding_mode": "wrap"}
    >>> def circular(x):
    ...     return conv1d(params, x, axis_name="time", length=15, **options)
    >>> y = jax.shard_map(circular, mesh=mesh, in_specs=P("time"), out_specs=P("time"))(jnp.arange(16.0)[:, None])
    >>> y[:, 0].tolist()[:4], y[:, 0].tolist()[13:]
    ([14.0, 1.0, 3.0, 5.0], [25.0, 27.0, 0.0])
    """
    return _convolve_window(conv.conv1d, KERNEL, params, x, axis_name, length, dict(options))


def depthwise_conv1d(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[DepthwiseOptions]
) -> jax.Array:
    """Computes the device's shard of `jconv.depthwise_conv1d` of the complete sequence.

    Args:
        params: As in `jconv.depthwise_conv1d`.
        x: (..., shard, in_channels), with the same size on every device.
        axis_name: As in `conv1d`.
        length: As in `conv1d`.
        **options: The options of `jconv.depthwise_conv1d`, except `lengths` and `segment_ids`.

    Returns:
        (..., out_shard, in_channels * multiplier), as in `conv1d`.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",), (jax.sharding.AxisType.Auto,))
    >>> params = {"kernel": jnp.ones((2, 1, 1))}
    >>> def shard(x):
    ...     return depthwise_conv1d(params, x, axis_name="time", padding="causal")
    >>> y = jax.shard_map(shard, mesh=mesh, in_specs=P("time"), out_specs=P("time"))(jnp.ones((16, 1)))
    >>> y[:3, 0].tolist()
    [1.0, 2.0, 2.0]
    """
    return _convolve_window(conv.depthwise_conv1d, KERNEL, params, x, axis_name, length, dict(options))


def separable_conv1d(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[DepthwiseOptions]
) -> jax.Array:
    """Computes the device's shard of `jconv.separable_conv1d` of the complete sequence.

    Args:
        params: As in `jconv.separable_conv1d`.
        x: (..., shard, in_channels), with the same size on every device.
        axis_name: As in `conv1d`.
        length: As in `conv1d`.
        **options: The options of `jconv.separable_conv1d`, except `lengths` and `segment_ids`.

    Returns:
        (..., out_shard, out_channels), as in `conv1d`.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",), (jax.sharding.AxisType.Auto,))
    >>> params = {"depthwise_kernel": jnp.ones((2, 1, 1)), "pointwise_kernel": jnp.full((1, 1, 1), 3.0)}
    >>> def shard(x):
    ...     return separable_conv1d(params, x, axis_name="time", padding="causal")
    >>> y = jax.shard_map(shard, mesh=mesh, in_specs=P("time"), out_specs=P("time"))(jnp.ones((16, 1)))
    >>> y[:3, 0].tolist()
    [3.0, 6.0, 6.0]
    """
    return _convolve_window(conv.separable_conv1d, SEPARABLE_KERNELS, params, x, axis_name, length, dict(options))


def conv1d_transpose(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[TransposeOptions]
) -> jax.Array:
    """Computes the device's shard of `jconv.conv1d_transpose` of the complete sequence.

    Args:
        params: As in `jconv.conv1d_transpose`.
        x: (..., shard, in_channels), with the same size on every device.
        axis_name: As in `conv1d`.
        length: As in `conv1d`.
        **options: The options of `jconv.conv1d_transpose`, except `lengths` and `segment_ids`.

    Returns:
        (..., out_shard, out_channels), where `out_shard` is `shard * stride`, or more if the devices together could not
        hold the complete output.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",), (jax.sharding.AxisType.Auto,))
    >>> params = {"kernel": jnp.ones((2, 1, 1))}
    >>> def shard(x):
    ...     return conv1d_transpose(params, x, axis_name="time", padding="same")
    >>> y = jax.shard_map(shard, mesh=mesh, in_specs=P("time"), out_specs=P("time"))(jnp.ones((16, 1)))
    >>> y[:3, 0].tolist()
    [1.0, 2.0, 2.0]
    """
    x, device_axis, length = _check_shard("conv1d_transpose", x, axis_name, length, options)
    checks.check_params(params, KERNEL, "sharding.conv1d_transpose")
    other: dict[str, Any] = dict(options)
    geometry_options = {name: other[name] for name in ("stride", "dilation") if name in other}
    geometry_options |= {name: other.pop(name) for name in ("padding", "output_padding") if name in other}
    geometry = transposed_geometry(length, np.shape(params["kernel"])[0], **geometry_options)
    out_shard = max(x.shape[-2] * geometry.stride, -(-geometry.length // device_axis.size))
    plan = plan_halo("input_gradient", geometry, device_axis.size, out_shard, x.shape[-2])
    window = read_window(upcast(x), plan.window, device_axis).astype(x.dtype)
    y = conv.conv1d_transpose(params, window, **other)
    y = slice_per_device(y, [plan.geometry.low + drop for drop in plan.drop], out_shard, device_axis)
    return zero_beyond_length(y, geometry.length, device_axis)


def _convolve_window(
    convolution: Callable[..., jax.Array],
    kernels: Mapping[str, int],
    params: Params,
    x: Any,
    axis_name: AxisName,
    length: int | None,
    options: dict[str, Any],
) -> jax.Array:
    """Convolves the window that the device's outputs read. The first of `kernels` determines the window."""
    name = convolution.__name__
    x, device_axis, length = _check_shard(name, x, axis_name, length, options)
    checks.check_params(params, kernels, f"sharding.{name}")
    geometry_options = {name: options.pop(name) for name in GEOMETRY_OPTIONS if name in options}
    mode = geometry_options.pop("padding_mode", "zeros")
    checks.check_padding_mode(mode)
    geometry = make_geometry(length, np.shape(params[next(iter(kernels))])[0], **geometry_options)
    out_shard = max(-(-x.shape[-2] // geometry.stride), -(-geometry.out_length // device_axis.size))
    plan = plan_halo("forward", geometry, device_axis.size, x.shape[-2], out_shard)
    # In float32, because the adjoint sums over the devices that read a sample.
    wide = upcast(x)
    window = read_window(wide, plan.window, device_axis)
    if mode != "zeros":
        window = fill_padding(window, wide, plan.window, geometry, mode, device_axis)
    y = convolution(params, window.astype(x.dtype), stride=geometry.stride, dilation=geometry.dilation, **options)
    return zero_beyond_length(y, geometry.out_length, device_axis)


def _check_shard(
    caller: str, x: Any, axis_name: AxisName, length: int | None, options: Mapping[str, Any]
) -> tuple[jax.Array, DeviceAxis, int]:
    """Returns the shard, cast to vary over the mesh axes, the device axis, and the length of the complete sequence."""
    checks.check_input(x, f"sharding.{caller}")
    for name in ("lengths", "segment_ids"):
        if name in options:
            raise ValueError(f"sharding.{caller} does not take {name}; all sequences have the same length")
    device_axis = _make_device_axis(axis_name)
    x, _ = match_varying_axes(jnp.asarray(x), device_axis.index())
    total = device_axis.size * x.shape[-2]
    if length is None:
        return x, device_axis, total
    if not (is_integer(length) and 1 <= length <= total):
        raise ValueError(
            f"length must be an integer from 1 to the {total} samples of {device_axis.size} shards of {x.shape[-2]}, "
            f"got {length!r}"
        )
    return x, device_axis, int(length)


def _make_device_axis(axis_name: AxisName) -> DeviceAxis:
    names = (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)
    order = jax.sharding.get_abstract_mesh().axis_names
    for name in names:
        if name not in order:
            raise ValueError(f"axis_name must name axes of the mesh of jax.shard_map, {order}, got {axis_name!r}")
    return DeviceAxis(names, tuple(jax.lax.axis_size(name) for name in names), order)
