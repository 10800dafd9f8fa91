"""The samples that a device needs from its neighbours when a length is sharded: its halo.

A device holds one shard of a sequence. It computes one shard of the result from a window of samples around its own
shard; other devices, near or far, send the missing samples. Beyond the ends of the sequence no device sends samples, so
the window has zeros there, as padding requires. All devices run the same program, so all windows have the same size.
Where shards of the result do not line up with shards of the sequence (a stride that does not divide a shard, a longer
or shorter result), each window starts at its own offset from the shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .device_axis import DeviceAxis


class Transfer(NamedTuple):
    """Each device n of `receivers` gets samples `start` to `stop` of the shard of device `n + distance`."""

    distance: int
    start: int
    stop: int
    receivers: tuple[int, ...]


@dataclass(frozen=True)
class HaloWindow:
    """The window of a sharded sequence that each device reads.

    Device n holds `shard` samples, starting with sample `n * shard`. Its window starts at `n * shard + offsets[n]`.

    Attributes:
        length: Length of the sequence. Samples from here on have no meaning.
        shard: Samples per shard.
        size: Samples per window.
        offsets: Start of each device's window, relative to its shard.
        needed: The first sample that each device needs, and the one after the last.
    """

    length: int
    shard: int
    size: int
    offsets: tuple[int, ...]
    needed: tuple[tuple[int, int], ...]

    def transfers(self) -> list[Transfer]:
        """Returns the transfers, by increasing distance of the sender. Distance 0 is a device's own shard."""
        low, high = self.needed_range()
        transfers = []
        for distance in range(low // self.shard, -(-high // self.shard)):
            start, stop = max(low - distance * self.shard, 0), min(high - distance * self.shard, self.shard)
            receivers = [n for n in range(len(self.needed)) if self._needs_shard(n, n + distance)]
            if start < stop:
                transfers.append(Transfer(distance, start, stop, tuple(receivers)))
        return transfers

    def needed_range(self) -> tuple[int, int]:
        """Returns a range of existing samples, relative to a device's shard, that includes what each device needs."""
        first = min(self.offsets)
        needed = [
            (max(low, 0) - n * self.shard, min(high, self.length) - n * self.shard)
            for n, (low, high) in enumerate(self.needed)
            if max(low, 0) < min(high, self.length)
        ]
        return (min(low for low, _ in needed), max(high for _, high in needed)) if needed else (first, first)

    def _needs_shard(self, device: int, holder: int) -> bool:
        """Returns whether a device needs samples that `holder` holds."""
        low, high = self.needed[device]
        return max(low, holder * self.shard, 0) < min(high, (holder + 1) * self.shard, self.length)


class Halo(NamedTuple):
    """The part of an operation on a sharded length that one device computes.

    Attributes:
        window: The window of the first operand.
        geometry: The geometry of the convolution of the window.
        drop: For each device, the samples of its result that precede its shard of the result.
    """

    window: HaloWindow
    geometry: Geometry
    drop: tuple[int, ...]


def plan_halo(operation: str, geometry: Geometry, shards: int, shard: int = 0, out_shard: int = 0) -> Halo:
    """Plans an operation whose length is sharded over several devices.

    Args:
        operation: One of `algorithms.OPERATIONS`.
        geometry: The geometry of the complete convolution.
        shards: Number of devices.
        shard: Samples of x per device. Default: the smallest number that holds x; the last devices may have fewer.
        out_shard: Samples of y per device, with the same default.

    >>> plan = plan_halo("forward", Geometry(length=32, kernel_size=3, low=2), 4)
    >>> plan.window.offsets, plan.geometry
    ((-2, -2, -2, -2), Geometry(length=10, kernel_size=3))
    >>> plan = plan_halo("input_gradient", Geometry(length=32, kernel_size=3, low=2), 4)
    >>> plan.window.offsets, plan.geometry
    ((0, 0, 0, 0), Geometry(length=8, kernel_size=3, padding=(2, 2)))
    """
    g = geometry
    shard, out_shard = shard or -(-g.length // shards), out_shard or -(-g.out_length // shards)
    if operation == "input_gradient":
        return _plan_input_gradient(g, shards, shard, out_shard)
    size = (out_shard - 1) * g.stride + g.reach
    outputs = _shard_ranges(g.out_length, out_shard, shards)
    needed = [(first * g.stride - g.low, (stop - 1) * g.stride - g.low + g.reach) for first, stop in outputs]
    window = _make_window(g.length, shard, size, [first for first, _ in needed], needed, shards)
    return Halo(window, replace(g, length=size, low=0, high=0), (0,) * shards)


def _plan_input_gradient(g: Geometry, shards: int, shard: int, out_shard: int) -> Halo:
    # x_bar[m] is the sum of y_bar[t] over all taps k with t * stride + k * dilation - low = m.
    samples = _shard_ranges(g.length, shard, shards)
    overhang = g.reach - 1
    needed = [
        (-((overhang - first - g.low) // g.stride), (stop - 1 + g.low) // g.stride + 1) for first, stop in samples
    ]
    # If the stride is longer than the reach, the window starts with the last y_bar at or before the shard.
    starts = [min(need[0], (first + g.low) // g.stride) for need, (first, _) in zip(needed, samples, strict=True)]
    lows = [first + g.low - start * g.stride for start, (first, _) in zip(starts, samples, strict=True)]
    # One convolution for all devices. Shards that begin at another phase of the stride drop some samples.
    low, length = min(lows), shard + max(lows) - min(lows)
    size = (length - 1 + low) // g.stride + 1
    local = replace(g, length=length, low=low, high=(size - 1) * g.stride + g.reach - length - low)
    drop = tuple(own - low for own in lows)
    window = _make_window(g.out_length, out_shard, size, starts, needed, shards)
    return Halo(window, local, drop + drop[-1:] * (shards - len(drop)))


def _shard_ranges(length: int, shard: int, shards: int) -> list[tuple[int, int]]:
    """Returns the range of samples of each shard, without the shards beyond the end of the sequence."""
    return [(n * shard, min((n + 1) * shard, length)) for n in range(shards) if n * shard < length]


def _make_window(
    length: int, shard: int, size: int, starts: list[int], needed: list[tuple[int, int]], shards: int
) -> HaloWindow:
    offsets = [start - n * shard for n, start in enumerate(starts)]
    idle = shards - len(starts)
    return HaloWindow(length, shard, size, (*offsets, *offsets[-1:] * idle), (*needed, *[(0, 0)] * idle))


def read_window(x: jax.Array, window: HaloWindow, device_axis: DeviceAxis) -> jax.Array:
    """Returns the device's window (..., size, channels) of a sequence with shards `x` (..., shard, channels)."""
    x = zero_beyond_length(x, window.length, device_axis)
    low, high = window.needed_range()
    parts = []
    for transfer in window.transfers():
        part = jax.lax.slice_in_dim(x, transfer.start, transfer.stop, axis=-2)
        pairs = [(n + transfer.distance, n) for n in transfer.receivers]
        parts.append(device_axis.send(part, pairs) if transfer.distance else part)
    first, last = min(window.offsets), max(window.offsets) + window.size
    before, after = (jnp.zeros_like(x, shape=(*x.shape[:-2], n, x.shape[-1])) for n in (low - first, last - high))
    samples = jnp.concatenate([before, *parts, after], axis=-2)
    return slice_per_device(samples, [offset - first for offset in window.offsets], window.size, device_axis)


def slice_per_device(x: jax.Array, starts: Sequence[int], size: int, device_axis: DeviceAxis) -> jax.Array:
    """Returns samples `starts[n]` to `starts[n] + size` of `x` (..., length, channels) on device n."""
    if len(set(starts)) > 1:
        return jax.lax.dynamic_slice_in_dim(x, device_axis.select(starts), size, axis=-2)
    is_complete = (starts[0], size) == (0, x.shape[-2])
    return x if is_complete else jax.lax.slice_in_dim(x, starts[0], starts[0] + size, axis=-2)


def zero_beyond_length(x: jax.Array, length: int, device_axis: DeviceAxis) -> jax.Array:
    """Returns a shard (..., shard, channels) with zeros from sample `length` of the complete sequence on."""
    shard = x.shape[-2]
    if device_axis.size * shard <= length:
        return x
    exists = device_axis.index() * shard + jnp.arange(shard) < length
    return jnp.where(exists[:, None], x, jnp.zeros_like(x))
