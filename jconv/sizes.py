"""The sizes that the time of a convolution depends on: integers, without JAX."""

from __future__ import annotations

from typing import NamedTuple

from .geometry import Geometry


class Sizes(NamedTuple):
    """The geometry, the batch (all batch axes as one), and the channels of x and y.

    >>> sizes = Sizes(Geometry(10, 2, stride=3, groups=2), batch=3, in_channels=4, out_channels=6)
    >>> sizes.multiply_adds, sizes.windows, sizes.elements
    (216, 72, 198)
    """

    geometry: Geometry
    batch: int
    in_channels: int
    out_channels: int

    @property
    def in_per_group(self) -> int:
        """In channels per group."""
        return self.in_channels // self.geometry.groups

    @property
    def out_per_group(self) -> int:
        """Out channels per group."""
        return self.out_channels // self.geometry.groups

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of each operation: batch * out_length * kernel_size * in_channels * out_channels / groups."""
        g = self.geometry
        return self.batch * g.out_length * g.kernel_size * self.in_per_group * self.out_channels

    @property
    def windows(self) -> int:
        """Elements of all windows of x: batch * out_length * kernel_size * in_channels."""
        return self.batch * self.geometry.out_length * self.geometry.kernel_size * self.in_channels

    @property
    def elements(self) -> int:
        """Elements of x, the kernel and y in total."""
        g = self.geometry
        x, y = self.batch * g.length * self.in_channels, self.batch * g.out_length * self.out_channels
        return x + y + g.kernel_size * self.in_per_group * self.out_channels
