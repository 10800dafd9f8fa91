"""Convolutions inside `jax.shard_map` of sequences whose length lies over mesh axes.

Each takes a device's shard of the sequence and gives its shard of the output of the whole. The shards of all devices,
one after the other, are the whole sequence and, from `length` on, samples without a meaning. docs/guides/devices.md
says what moves, and what of this a program over an automatic mesh does by itself.

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
from ..functional import convolution as conv
from ..functional.options import Conv1DOptions, DepthwiseOptions, Params, TransposeOptions
from ..geometry import is_integer, make_geometry, transposed_geometry
from ..primitive.device_axis import DeviceAxis
from ..primitive.halo import plan_halo, read_window, slice_per_device, zero_beyond_length
from ..primitive.placement import match_varying_axes
from .boundary import with_ends

AxisName = str | tuple[str, ...]
WHERE = ("stride", "padding", "dilation", "padding_mode")


def conv1d(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[Conv1DOptions]
) -> jax.Array:
    """The device's shard of `jconv.conv1d` of the whole sequence.

    The kernel is the same on every device, and its gradient is summed over them as that of any replicated operand is.

    Args:
      params: those of `jconv.conv1d`.
      x: (..., shard, in_channels), of the same size on every device.
      axis_name: the mesh axis, or several, the slowest first, that the length lies over.
      length: samples of the whole sequence; by default all shards are full. Those that the last devices have beyond it
        are not read, whatever they are.
      options: those of `jconv.conv1d`, without `lengths` and `segment_ids`.

    Returns:
      (..., out_shard, out_channels), where `out_shard` is `ceil(shard / stride)`, or more where the devices together
      would not have the outputs of the whole. Samples from `jconv.output_length(length, ...)` on are zero.

    Raises:
      ValueError: for a `length` that the shards do not hold, and as `jconv.conv1d`.
      TypeError: as `jconv.conv1d`.

    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",), (jax.sharding.AxisType.Auto,))
    >>> params, options = {"kernel": jnp.ones((2, 1, 1))}, {"padding": (1, 0), "padding_mode": "wrap"}
    >>> def circular(x):
    ...     return conv1d(params, x, axis_name="time", length=15, **options)
    >>> y = jax.shard_map(circular, mesh=mesh, in_specs=P("time"), out_specs=P("time"))(jnp.arange(16.0)[:, None])
    >>> y[:, 0].tolist()[:4], y[:, 0].tolist()[13:]
    ([14.0, 1.0, 3.0, 5.0], [25.0, 27.0, 0.0])
    """
    return _of_windows(conv.conv1d, "kernel", params, x, axis_name, length, dict(options))


def depthwise_conv1d(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[DepthwiseOptions]
) -> jax.Array:
    """The device's shard of `jconv.depthwise_conv1d` of the whole sequence; else as `conv1d`."""
    return _of_windows(conv.depthwise_conv1d, "kernel", params, x, axis_name, length, dict(options))


def separable_conv1d(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[DepthwiseOptions]
) -> jax.Array:
    """The device's shard of `jconv.separable_conv1d` of the whole sequence; else as `conv1d`."""
    return _of_windows(conv.separable_conv1d, "depthwise_kernel", params, x, axis_name, length, dict(options))


def conv1d_transpose(
    params: Params, x: Any, *, axis_name: AxisName, length: int | None = None, **options: Unpack[TransposeOptions]
) -> jax.Array:
    """The device's shard of `jconv.conv1d_transpose` of the whole sequence; else as `conv1d`.

    `out_shard` is `shard * stride`, or more where the devices together would not have the whole output.
    """
    x, device_axis, length = _checked("conv1d_transpose", x, axis_name, length, options)
    checks.check_params(params, {"kernel": 3}, "sharding.conv1d_transpose")
    rest: dict[str, Any] = dict(options)
    where = {name: rest[name] for name in ("stride", "dilation") if name in rest}
    where |= {name: rest.pop(name) for name in ("padding", "output_padding") if name in rest}
    geometry = transposed_geometry(length, np.shape(params["kernel"])[0], **where)
    out_shard = max(x.shape[-2] * geometry.stride, -(-geometry.length // device_axis.size))
    around = plan_halo("input_gradient", geometry, device_axis.size, out_shard, x.shape[-2])
    y = conv.conv1d_transpose(params, read_window(x, around.window, device_axis), **rest)
    y = slice_per_device(y, [around.geometry.low + drop for drop in around.drop], out_shard, device_axis)
    return zero_beyond_length(y, geometry.length, device_axis)


def _of_windows(
    convolution: Callable[..., jax.Array],
    kernel: str,
    params: Params,
    x: Any,
    axis_name: AxisName,
    length: int | None,
    options: dict[str, Any],
) -> jax.Array:
    """The convolution of the windows that the devices' outputs read."""
    name = convolution.__name__
    x, device_axis, length = _checked(name, x, axis_name, length, options)
    if kernel not in params:
        raise ValueError(f"sharding.{name} needs params[{kernel!r}]; params has {', '.join(params) or 'no key'}")
    where = {option: options.pop(option) for option in WHERE if option in options}
    mode = where.pop("padding_mode", "zeros")
    checks.check_padding_mode(mode)
    geometry = make_geometry(length, np.shape(params[kernel])[0], **where)
    out_shard = max(-(-x.shape[-2] // geometry.stride), -(-geometry.out_length // device_axis.size))
    around = plan_halo("forward", geometry, device_axis.size, x.shape[-2], out_shard)
    window = read_window(x, around.window, device_axis)
    if mode != "zeros":
        window = with_ends(window, x, around.window, geometry, mode, device_axis)
    y = convolution(params, window, stride=geometry.stride, dilation=geometry.dilation, **options)
    return zero_beyond_length(y, geometry.out_length, device_axis)


def _checked(
    caller: str, x: Any, axis_name: AxisName, length: int | None, options: Mapping[str, Any]
) -> tuple[jax.Array, DeviceAxis, int]:
    """The shard as varying along the device_axis of devices, the device_axis, and the samples of the whole."""
    checks.check_input(x, f"sharding.{caller}")
    for name in ("lengths", "segment_ids"):
        if name in options:
            raise ValueError(f"sharding.{caller} does not take {name}; one length is that of all sequences")
    device_axis = _make_device_axis(axis_name)
    x, _ = match_varying_axes(jnp.asarray(x), device_axis.index())
    held = device_axis.size * x.shape[-2]
    if length is None:
        return x, device_axis, held
    if not (is_integer(length) and 1 <= length <= held):
        raise ValueError(
            f"length must be an integer from 1 to the {held} samples of {device_axis.size} shards of {x.shape[-2]}, "
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
