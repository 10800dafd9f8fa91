"""Reads which device holds which part of an array from its sharding, without the program's mesh.

XLA's partitioner passes shardings as tables of devices. They are described here by a mesh of all devices whose axes
have prime sizes. Every factor of an axis of the program's own mesh is then an axis of this mesh, including "half of
axis a", which the partitioner uses at reshapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

Tiling = tuple[tuple[str, ...], ...]
"""For each axis of an array, the mesh axes that it is sharded over, the slowest first."""


def read_tilings(
    shardings: Sequence[jax.sharding.Sharding | None], ranks: Sequence[int], devices: Sequence[Any]
) -> tuple[Mesh, list[Tiling]]:
    """Returns a mesh with axes of prime sizes, and the shardings of arrays of these ranks in terms of its axes.

    An array axis that no such mesh describes counts as not sharded, and so does an array without a sharding.
    """
    starts = []
    for sharding, rank in zip(shardings, ranks, strict=True):
        if sharding is None:
            starts.append(np.zeros((len(devices), rank), int))
            continue
        # In a shape with as many samples per axis as devices, all shards have equal sizes, whatever the array's shape.
        slices = sharding.devices_indices_map((len(devices),) * rank)
        starts.append(np.array([[s.start or 0 for s in own] for own in slices.values()]).reshape(-1, rank))
    best: Any = None
    for sizes in _orders(_prime_factors(len(devices))):
        tilings = [[_mesh_axes(axis.reshape(sizes)) for axis in start.T] for start in starts]
        unknown = sum(axes is None for tiling in tilings for axes in tiling)
        if best is None or unknown < best[0]:
            best = unknown, sizes, tilings
        if not unknown:
            break
    _, sizes, tilings = best
    mesh = Mesh(np.array(devices).reshape(sizes), _axis_names(sizes))
    return mesh, [tuple(axes or () for axes in tiling) for tiling in tilings]


def _mesh_axes(starts: np.ndarray[Any, Any]) -> tuple[str, ...] | None:
    """Returns the mesh axes that an array axis is sharded over, or None if they do not describe its sharding.

    Args:
        starts: For each device of the mesh, the first sample that it holds, if the axis has one sample per device.
    """
    strides = [int(np.take(starts, 1, axis=d).flat[0]) for d in range(starts.ndim)]
    indices = np.indices(starts.shape)
    expected = sum(i * stride for i, stride in zip(indices, strides, strict=True)) + np.zeros_like(starts)
    if not np.array_equal(starts, expected):
        return None
    tiled = sorted((d for d in range(starts.ndim) if strides[d]), key=lambda d: -strides[d])
    samples = starts.size
    for d in tiled:
        samples //= starts.shape[d]
        if strides[d] != samples:
            return None
    return tuple(_axis_names(starts.shape)[d] for d in tiled)


def _axis_names(sizes: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"part{d}" for d in range(len(sizes)))


def _prime_factors(number: int) -> tuple[int, ...]:
    for prime in range(2, number + 1):
        if number % prime == 0:
            return (prime, *_prime_factors(number // prime))
    return ()


def _orders(sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yields each distinct order of the sizes once."""
    if not sizes:
        yield ()
    for first in sorted(set(sizes)):
        rest = list(sizes)
        rest.remove(first)
        yield from ((first, *others) for others in _orders(tuple(rest)))
