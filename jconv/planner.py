"""Shapes, dtype and platform in; the algorithm and the reason out.

A pure function: nothing is measured, allocated or remembered here. `bilinear.py` asks it once for each equation it
lowers, when it knows for which platform and for how many devices the program is.
"""

from __future__ import annotations

from typing import NamedTuple

from .algorithms import ALGORITHMS
from .geometry import Geometry

AUTO = "auto"


class Choice(NamedTuple):
    """What computes one face, and why.

    `one_by_one` says that the members of an equation, where it has several, are computed in a loop and not at once.
    """

    algorithm: str
    reason: str
    one_by_one: bool = False


def check_algorithm(algorithm: str) -> None:
    """Raise `ValueError` unless `algorithm` is `"auto"` or the name of one.

    >>> check_algorithm("lax")
    """
    if not isinstance(algorithm, str) or (algorithm != AUTO and algorithm not in ALGORITHMS):
        names = ", ".join([AUTO, *sorted(ALGORITHMS)])
        raise ValueError(f"algorithm must be one of {names}, got {algorithm!r}")


def choose(
    algorithm: str,
    geometry: Geometry,
    *,
    members: int = 1,
    platform: str = "cpu",
    partitioned: bool = False,
) -> Choice:
    """The algorithm for one face.

    `algorithm` is the caller's wish, `members` how many independent convolutions the equation holds (more than one
    under a vmap over kernels, or for per-example gradients), `partitioned` whether XLA's partitioner will split what is
    chosen over devices. It will not where `partitioned.py` does, which asks about the shapes of one device.

    >>> choose("auto", Geometry(length=100, kernel_size=5)).algorithm
    'lax'
    >>> choose("lax", Geometry(length=100, kernel_size=5), partitioned=True).algorithm
    'einsum'
    """
    if partitioned:
        # docs/sharding.md has the count of layouts that XLA's partitioner gets wrong in a bare convolution.
        return Choice("einsum", "the partitioner is right about contractions and silently wrong about convolutions")
    # Many members as one XLA convolution become a grouped one, which is slow on a CPU. Forward and both gradients of
    # 16 members of (8, 128, 32, 32, 5): 6.6 ms at once, 4.9 ms one by one; of 64 of (1, 150, 64, 128, 5): 33 and 25 ms
    # (median of 7, two cores of an AMD EPYC, JAX 0.10.2, 2026-11-24).
    one_by_one = platform == "cpu" and members != 1
    if algorithm != AUTO:
        return Choice(algorithm, "asked for by name", one_by_one and algorithm == "lax")
    if geometry.kernel_size == 1 and geometry.stride == 1 and geometry.groups == 1:
        return Choice("einsum", "kernel size 1 and stride 1: a matrix product")
    return Choice("lax", "XLA's convolution in its fast form", one_by_one)
