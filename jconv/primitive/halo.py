"""What one device needs of its neighbours when the length lies over several devices.

A device holds one shard of the sequence, and computes one shard of the result from a window of samples around it: the
halo comes from the devices that hold it, near or far. Past the ends of the whole nobody does, and the window has the
zeros that padding is. All devices run one program, so their windows are of one size; where the shards of the result do
not keep step with those of the sequence (a stride that does not divide a shard, a longer or shorter result), each
window begins at another place beside its shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .device_axis import Line


class Hop(NamedTuple):
    """Each of `receivers` is sent samples `start` to `stop` of the shard of the device `distance` further on."""

    distance: int
    start: int
    stop: int
    receivers: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """What the devices read of a sequence that lies over them: `size` samples each.

    Device n holds `shard` samples from `n * shard` on, those from `length` on without a meaning. It reads from
    `n * shard + offsets[n]` on, and needs no more of it than samples `needs[n]`, from the first to before the second.
    """

    length: int
    shard: int
    size: int
    offsets: tuple[int, ...]
    needs: tuple[tuple[int, int], ...]

    def hops(self) -> list[Hop]:
        """What is sent, from the farthest device behind to the farthest ahead; its own samples are hop 0."""
        low, high = self.reaches()
        found = []
        for distance in range(low // self.shard, -(-high // self.shard)):
            start, stop = max(low - distance * self.shard, 0), min(high - distance * self.shard, self.shard)
            receivers = [n for n in range(len(self.needs)) if self._needs_of(n, n + distance)]
            if start < stop:
                found.append(Hop(distance, start, stop, tuple(receivers)))
        return found

    @property
    def moved(self) -> int:
        """The most samples that a device receives."""
        others = [hop for hop in self.hops() if hop.distance]
        return max(sum(hop.stop - hop.start for hop in others if n in hop.receivers) for n in range(len(self.needs)))

    def reaches(self) -> tuple[int, int]:
        """From where to where, counted from the start of its own shard, some device needs samples that there are."""
        first = min(self.offsets)
        needed = [
            (max(low, 0) - n * self.shard, min(high, self.length) - n * self.shard)
            for n, (low, high) in enumerate(self.needs)
            if max(low, 0) < min(high, self.length)
        ]
        return (min(low for low, _ in needed), max(high for _, high in needed)) if needed else (first, first)

    def _needs_of(self, n: int, holder: int) -> bool:
        """Whether device n needs samples that another holds."""
        low, high = self.needs[n]
        return max(low, holder * self.shard, 0) < min(high, (holder + 1) * self.shard, self.length)


class Halo(NamedTuple):
    """One device's part of an operation: its window of the first operand, its convolution, and what to drop.

    `drop[n]` samples of what device n then has come before its shard of the result.
    """

    window: Window
    geometry: Geometry
    drop: tuple[int, ...]


def halo(operation: str, geometry: Geometry, shards: int, shard: int = 0, out_shard: int = 0) -> Halo:
    """The halo of an operation whose length lies over `shards` devices: `shard` samples of x each, `out_shard` of y.

    Without them as few as hold it, the last devices having less than the others or none.

    >>> around = halo("forward", Geometry(length=32, kernel_size=3, low=2), 4)
    >>> around.window.offsets, around.window.moved, around.geometry
    ((-2, -2, -2, -2), 2, Geometry(length=10, kernel_size=3))
    >>> around = halo("input_gradient", Geometry(length=32, kernel_size=3, low=2), 4)
    >>> around.window.moved, around.geometry
    (2, Geometry(length=8, kernel_size=3, padding=(2, 2)))
    """
    g = geometry
    shard, out_shard = shard or -(-g.length // shards), out_shard or -(-g.out_length // shards)
    if operation == "input_gradient":
        return _of_cotangents(g, shards, shard, out_shard)
    size = (out_shard - 1) * g.stride + g.reach
    outputs = _shares(g.out_length, out_shard, shards)
    needs = [(first * g.stride - g.low, (stop - 1) * g.stride - g.low + g.reach) for first, stop in outputs]
    window = _window(g.length, shard, size, [first for first, _ in needs], needs, shards)
    return Halo(window, replace(g, length=size, low=0, high=0), (0,) * shards)


def _of_cotangents(g: Geometry, shards: int, shard: int, out_shard: int) -> Halo:
    # x_bar[m] sums y_bar[t] over the taps that t * stride + tap * dilation - low = m leaves.
    samples = _shares(g.length, shard, shards)
    overhang = g.reach - 1
    needs = [(-((overhang - first - g.low) // g.stride), (stop - 1 + g.low) // g.stride + 1) for first, stop in samples]
    # Where a stride is longer than the reach, the sample before may be the last that lies at or before the shard.
    starts = [min(need[0], (first + g.low) // g.stride) for need, (first, _) in zip(needs, samples, strict=True)]
    lows = [first + g.low - start * g.stride for start, (first, _) in zip(starts, samples, strict=True)]
    # One convolution for all devices: shards that begin at another phase of the stride begin some samples into it.
    low, length = min(lows), shard + max(lows) - min(lows)
    size = (length - 1 + low) // g.stride + 1
    local = replace(g, length=length, low=low, high=(size - 1) * g.stride + g.reach - length - low)
    drop = tuple(own - low for own in lows)
    return Halo(
        _window(g.out_length, out_shard, size, starts, needs, shards), local, drop + drop[-1:] * (shards - len(drop))
    )


def _shares(length: int, shard: int, shards: int) -> list[tuple[int, int]]:
    """From where to where the shards of the first devices go; devices behind the end of the sequence have none."""
    return [(n * shard, min((n + 1) * shard, length)) for n in range(shards) if n * shard < length]


def _window(length: int, shard: int, size: int, starts: list[int], needs: list[tuple[int, int]], shards: int) -> Window:
    offsets = [start - n * shard for n, start in enumerate(starts)]
    idle = shards - len(starts)
    return Window(length, shard, size, (*offsets, *offsets[-1:] * idle), (*needs, *[(0, 0)] * idle))


def read(x: jax.Array, window: Window, line: Line) -> jax.Array:
    """A shard (..., shard, channels) to the device's window (..., size, channels)."""
    x = only_real(x, window.length, line)
    low, high = window.reaches()
    parts = []
    for hop in window.hops():
        part = jax.lax.slice_in_dim(x, hop.start, hop.stop, axis=-2)
        # A device that nobody sends to receives zeros: the padding at both ends of the whole.
        parts.append(line.send(part, [(n + hop.distance, n) for n in hop.receivers]) if hop.distance else part)
    first, last = min(window.offsets), max(window.offsets) + window.size
    before, after = (jnp.zeros_like(x, shape=(*x.shape[:-2], n, x.shape[-1])) for n in (low - first, last - high))
    around = jnp.concatenate([before, *parts, after], axis=-2)
    return cut(around, [offset - first for offset in window.offsets], window.size, line)


def cut(x: jax.Array, starts: Sequence[int], size: int, line: Line) -> jax.Array:
    """Samples `starts[n]` to `starts[n] + size` of the array (..., length, channels) that device n has."""
    if len(set(starts)) > 1:
        return jax.lax.dynamic_slice_in_dim(x, line.pick(starts), size, axis=-2)
    whole = (starts[0], size) == (0, x.shape[-2])
    return x if whole else jax.lax.slice_in_dim(x, starts[0], starts[0] + size, axis=-2)


def only_real(x: jax.Array, length: int, line: Line) -> jax.Array:
    """A shard (..., shard, channels) with zeros from sample `length` of the whole on."""
    shard = x.shape[-2]
    if line.devices * shard <= length:
        return x
    real = line.number() * shard + jnp.arange(shard) < length
    return jnp.where(real[:, None], x, jnp.zeros_like(x))
