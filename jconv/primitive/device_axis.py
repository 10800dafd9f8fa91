"""The devices that a length is sharded over, as one axis: index, per-device constants, communication."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class DeviceAxis:
    """Several mesh axes as one axis of devices.

    Attributes:
        names: Names of the mesh axes, the slowest first.
        sizes: Their sizes.
        mesh_order: The names of all axes of the mesh, in the mesh's own order.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    mesh_order: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of devices along the axis."""
        return math.prod(self.sizes)

    def index(self) -> jax.Array:
        """Returns this device's index along the axis, a scalar."""
        return jax.lax.axis_index(self.names)

    def select(self, values: Sequence[Any]) -> jax.Array:
        """Returns this device's element of `values`, which has one integer or list of integers per device."""
        return jax.numpy.array(values)[self.index()]

    def send(self, x: jax.Array, pairs: Sequence[tuple[int, int]]) -> jax.Array:
        """Sends `x` from the first device of each pair to the second. Devices that receive nothing get zeros."""
        # ppermute numbers devices in the order of the mesh's axes, whatever order the names have (JAX 0.10), or
        # rejects any other order (JAX 0.12).
        names = sorted(self.names, key=self.mesh_order.index)
        indices = np.arange(self.size).reshape([self.sizes[self.names.index(name)] for name in names])
        number = indices.transpose([names.index(name) for name in self.names]).ravel()
        return jax.lax.ppermute(x, tuple(names), [(int(number[a]), int(number[b])) for a, b in pairs])
