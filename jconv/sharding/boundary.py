"""Padding that repeats a sequence whose length lies over devices: what is beyond its ends is sent by who holds it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import Geometry
from ..primitive.device_axis import DeviceAxis
from ..primitive.halo import HaloWindow

Sources = list[dict[int, int]]
"""For each device, the samples of the whole by their places in its window."""


def with_ends(
    samples: jax.Array, x: jax.Array, window: HaloWindow, geometry: Geometry, mode: str, device_axis: DeviceAxis
) -> jax.Array:
    """A device's window (..., size, channels), its zeros beyond the ends as `padding_mode` has it, from shards `x`."""
    sources = _sources(window, geometry, mode)
    places = sorted({place for of_device in sources for place in of_device})
    if not places:
        return samples
    sent, at = _sent(x, window, sources, device_axis)
    # Where a device's window has no such place, it keeps its own sample.
    behind = sent.shape[-2]
    table = [[at[n].get(place, behind + i) for i, place in enumerate(places)] for n in range(device_axis.size)]
    kept = jnp.take(samples, np.array(places), axis=-2)
    chosen = jnp.take(jnp.concatenate([sent, kept], axis=-2), device_axis.select(table), axis=-2)
    return samples.at[..., np.array(places), :].set(chosen)


def _sources(window: HaloWindow, geometry: Geometry, mode: str) -> Sources:
    beyond = np.pad(np.arange(geometry.length), (geometry.low, geometry.high), mode=mode)  # pyright: ignore
    found: Sources = []
    for n, (first, stop) in enumerate(window.needed):
        start = n * window.shard + window.offsets[n]
        outside = (t for t in range(first, stop) if not 0 <= t < geometry.length)
        found.append({t - start: int(beyond[t + geometry.low]) for t in outside})
    return found


def _sent(
    x: jax.Array, window: HaloWindow, sources: Sources, device_axis: DeviceAxis
) -> tuple[jax.Array, list[dict[int, int]]]:
    """The samples that came, distance by distance, and for each device where among them those of its places are."""
    at: list[dict[int, int]] = [{} for _ in sources]
    parts, came = [], 0
    for distance in range(1 - device_axis.size, device_axis.size):
        wanted: list[list[int]] = [[] for _ in sources]  # of each holder
        for n, of_device in enumerate(sources):
            held = {place: t for place, t in of_device.items() if t // window.shard == n + distance}
            if held:
                rows = sorted(set(held.values()))
                wanted[n + distance] = [t % window.shard for t in rows]
                at[n] |= {place: came + rows.index(t) for place, t in held.items()}
        size = max(map(len, wanted))
        if size:
            rows_of = [rows + [0] * (size - len(rows)) for rows in wanted]
            part = jnp.take(x, device_axis.select(rows_of), axis=-2)
            pairs = [(holder, holder - distance) for holder, rows in enumerate(wanted) if rows]
            parts.append(device_axis.send(part, pairs) if distance else part)
            came += size
    return jnp.concatenate(parts, axis=-2), at
