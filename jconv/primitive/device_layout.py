"""Which devices hold which part of an array, read from its sharding without knowing anybody's mesh.

XLA's partitioner hands over shardings as tables of devices. Here they are read as layouts over one mesh of all devices
whose axes have prime sizes: every part of every axis of the program's own mesh is a whole axis of this one, so that
"half of axis a", which the partitioner comes up with at reshapes, is nothing special.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

Tiling = tuple[tuple[str, ...], ...]
"""For each axis of an array, the mesh axes that it lies over, the slowest first."""


def read_tilings(
    shardings: Sequence[jax.sharding.Sharding | None], ranks: Sequence[int], devices: Sequence[Any]
) -> tuple[Mesh, list[Tiling]]:
    """The mesh of prime axes in whose terms the shardings of arrays with `ranks` axes can be said, and their tilings.

    An axis that no mesh explains counts as not tiled, and so does an array without a sharding.
    """
    starts = []
    for sharding, rank in zip(shardings, ranks, strict=True):
        if sharding is None:
            starts.append(np.zeros((len(devices), rank), int))
            continue
        # As many samples along each axis as there are devices are cut evenly, however the array itself is.
        placed = sharding.devices_indices_map((len(devices),) * rank)
        starts.append(np.array([[part.start or 0 for part in parts] for parts in placed.values()]).reshape(-1, rank))
    best: Any = None
    for sizes in _orders(_primes(len(devices))):
        tilings = [_tiling(start, sizes) for start in starts]
        unread = sum(axes is None for tiling in tilings for axes in tiling)
        if best is None or unread < best[0]:
            best = unread, sizes, tilings
        if not unread:
            break
    _, sizes, tilings = best
    mesh = Mesh(np.array(devices).reshape(sizes), _names(sizes))
    return mesh, [tuple(axes or () for axes in tiling) for tiling in tilings]


def _tiling(starts: np.ndarray[Any, Any], sizes: tuple[int, ...]) -> list[tuple[str, ...] | None]:
    return [_axes(start.reshape(sizes)) for start in starts.T]


def _axes(start: np.ndarray[Any, Any]) -> tuple[str, ...] | None:
    """The mesh axes that the first sample a device holds, of as many as there are devices, grows with."""
    strides = [int(np.take(start, 1, axis=d).flat[0]) for d in range(start.ndim)]
    at = np.indices(start.shape)
    if not np.array_equal(start, sum(i * stride for i, stride in zip(at, strides, strict=True)) + np.zeros_like(start)):
        return None
    tiled = sorted((d for d in range(start.ndim) if strides[d]), key=lambda d: -strides[d])
    left = start.size
    for d in tiled:
        left //= start.shape[d]
        if strides[d] != left:
            return None
    return tuple(_names(start.shape)[d] for d in tiled)


def _names(sizes: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"part{d}" for d in range(len(sizes)))


def _primes(number: int) -> tuple[int, ...]:
    for prime in range(2, number + 1):
        if number % prime == 0:
            return (prime, *_primes(number // prime))
    return ()


def _orders(sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every order of the sizes, each once: one, where all are equal."""
    if not sizes:
        yield ()
    for first in sorted(set(sizes)):
        rest = list(sizes)
        rest.remove(first)
        yield from ((first, *more) for more in _orders(tuple(rest)))
