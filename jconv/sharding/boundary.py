"""Padding modes other than zeros for a sharded length: devices exchange the samples that the padding repeats."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import Geometry
from ..primitive.device_axis import DeviceAxis
from ..primitive.halo import HaloWindow

Sources = list[dict[int, int]]
"""For each device, the positions of padding in its window, and the sample of the sequence that each repeats."""


def fill_padding(
    samples: jax.Array, x: jax.Array, window: HaloWindow, geometry: Geometry, mode: str, device_axis: DeviceAxis
) -> jax.Array:
    """Replaces the zeros beyond the ends of the sequence in a device's window by the samples that `mode` repeats.

    Args:
        samples: The window, (..., size, channels).
        x: The device's shard, (..., shard, channels).
        window: The windows of all devices.
        geometry: The geometry of the complete convolution.
        mode: The padding mode.
        device_axis: The devices.
    """
    sources = _find_sources(window, geometry, mode)
    positions = sorted({position for own in sources for position in own})
    if not positions:
        return samples
    received, index = _exchange(x, window, sources, device_axis)
    # A device whose window has no padding at a position keeps its own sample.
    count = received.shape[-2]
    table = [[index[n].get(p, count + i) for i, p in enumerate(positions)] for n in range(device_axis.size)]
    own = jnp.take(samples, np.array(positions), axis=-2)
    selected = jnp.take(jnp.concatenate([received, own], axis=-2), device_axis.select(table), axis=-2)
    return samples.at[..., np.array(positions), :].set(selected)


def _find_sources(window: HaloWindow, geometry: Geometry, mode: str) -> Sources:
    padded = np.pad(np.arange(geometry.length), (geometry.low, geometry.high), mode=mode)  # pyright: ignore
    sources: Sources = []
    for n, (first, stop) in enumerate(window.needed):
        start = n * window.shard + window.offsets[n]
        outside = (t for t in range(first, stop) if not 0 <= t < geometry.length)
        sources.append({t - start: int(padded[t + geometry.low]) for t in outside})
    return sources


def _exchange(
    x: jax.Array, window: HaloWindow, sources: Sources, device_axis: DeviceAxis
) -> tuple[jax.Array, list[dict[int, int]]]:
    """Sends the samples that the padding repeats.

    Returns:
        The samples that each device receives, ordered by the distance of the sender, and for each device the index of
        the sample for each position.
    """
    index: list[dict[int, int]] = [{} for _ in sources]
    parts, received = [], 0
    for distance in range(1 - device_axis.size, device_axis.size):
        rows: list[list[int]] = [[] for _ in sources]  # The samples that each sender sends.
        for n, own in enumerate(sources):
            held = {position: t for position, t in own.items() if t // window.shard == n + distance}
            if held:
                samples = sorted(set(held.values()))
                rows[n + distance] = [t % window.shard for t in samples]
                index[n] |= {position: received + samples.index(t) for position, t in held.items()}
        size = max(map(len, rows))
        if size:
            padded_rows = [own + [0] * (size - len(own)) for own in rows]
            part = jnp.take(x, device_axis.select(padded_rows), axis=-2)
            pairs = [(sender, sender - distance) for sender, own in enumerate(rows) if own]
            parts.append(device_axis.send(part, pairs) if distance else part)
            received += size
    return jnp.concatenate(parts, axis=-2), index
