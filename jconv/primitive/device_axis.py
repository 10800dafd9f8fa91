"""The devices that a length lies over, one after the other: which of them this is, and sending along the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Line:
    """The devices along mesh axes `names`, the slowest first, of `sizes`; `order` is that of the mesh's own axes."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    order: tuple[str, ...]

    @property
    def devices(self) -> int:
        """How many there are."""
        return math.prod(self.sizes)

    def number(self) -> jax.Array:
        """Which one this is, a scalar."""
        return jax.lax.axis_index(self.names)

    def pick(self, values: Sequence[Any]) -> jax.Array:
        """Its own one of the values, integers or lists of them, of all devices."""
        return jax.numpy.array(values)[self.number()]

    def send(self, x: jax.Array, pairs: Sequence[tuple[int, int]]) -> jax.Array:
        """What the device of each pair sends to the other; zeros on a device that is sent nothing."""
        # ppermute counts devices in the order of the mesh's axes, whatever order it is given them in (JAX 0.10), or
        # refuses any other (JAX 0.12).
        names = sorted(self.names, key=self.order.index)
        counted = np.arange(self.devices).reshape([self.sizes[self.names.index(name)] for name in names])
        number = counted.transpose([names.index(name) for name in self.names]).ravel()
        return jax.lax.ppermute(x, tuple(names), [(int(number[a]), int(number[b])) for a, b in pairs])
