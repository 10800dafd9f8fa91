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
    """What computes one face, and why."""

    algorithm: str
    reason: str


def check_algorithm(algorithm: str) -> None:
    """Raise `ValueError` unless `algorithm` is `"auto"` or the name of one.

    >>> check_algorithm("lax")
    """
    if algorithm != AUTO and algorithm not in ALGORITHMS:
        names = ", ".join([AUTO, *sorted(ALGORITHMS)])
        raise ValueError(f"algorithm must be one of {names}, got {algorithm!r}")


def choose(algorithm: str, geometry: Geometry, *, members: int = 1, partitioned: bool = False) -> Choice:
    """The algorithm for one face.

    `algorithm` is the caller's wish, `members` how many independent convolutions the equation holds (more than one
    under a vmap over kernels), `partitioned` whether XLA's partitioner will split the program over devices.

    >>> choose("auto", Geometry(length=100, kernel_size=5)).algorithm
    'lax'
    >>> choose("lax", Geometry(length=100, kernel_size=5), partitioned=True).algorithm
    'einsum'
    """
    if partitioned:
        # docs/sharding.md has the count of layouts that XLA's partitioner gets wrong in a bare convolution.
        return Choice("einsum", "the partitioner is right about contractions and silently wrong about convolutions")
    if algorithm != AUTO:
        return Choice(algorithm, "asked for by name")
    if geometry.kernel_size == 1 and geometry.stride == 1 and geometry.groups == 1:
        return Choice("einsum", "kernel size 1 and stride 1: a matrix product")
    if members > 1 and geometry.groups == 1:
        return Choice("einsum", "a kernel for each member: one batched matrix product")
    return Choice("lax", "XLA's convolution in its fast form")
