"""Decision trees, one for each operation, learned from measurements on one kind of processor and number of cores.

`data/*.json` are written by `python -m benchmarks.planner learn`. A node is `[feature, threshold, node, node]`, for
sizes up to the threshold and above it; a leaf has, for each algorithm that is faster than lax there, its time for
lax's (the geometric mean), and how many of the measured geometries are there.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..sizes import Sizes
from .hardware import Hardware

DATA = Path(__file__).parent / "data"


class Leaf(NamedTuple):
    """Times for lax's by algorithm, of how many measured geometries, and in words where the leaf is."""

    ratios: dict[str, float]
    geometries: int
    path: str


def features(sizes: Sizes) -> dict[str, int]:
    """What the trees ask for."""
    s, g = sizes, sizes.geometry
    return {
        "rows": s.batch * g.out_length,
        "multiply-adds": s.multiply_adds,
        "batch": s.batch,
        "output length": g.out_length,
        "in channels per group": s.in_per_group,
        "out channels per group": s.out_per_group,
        "kernel size": g.kernel_size,
        "terms": g.kernel_size * s.in_per_group,
        "weights": g.kernel_size * s.in_per_group * s.out_channels,
        "groups": g.groups,
        "stride": g.stride,
        "dilation": g.dilation,
    }


def walk(node: Any, sizes: Sizes) -> Leaf:
    """The leaf of a convolution.

    >>> from jconv.geometry import Geometry
    >>> leaf = {"geometries": 9, "ratios": {"shifts": 0.4}}
    >>> walk(["kernel size", 8.5, leaf, leaf], Sizes(Geometry(100, 3), 1, 1, 1))
    Leaf(ratios={'shifts': 0.4}, geometries=9, path='kernel size 1 to 8')
    """
    values, most, least = features(sizes), {}, {}
    while isinstance(node, list):
        feature, threshold, low, high = node
        is_low = values[feature] <= threshold
        (most if is_low else least)[feature] = int(threshold) + (not is_low)
        node = low if is_low else high
    words = [_words(feature, least.get(feature, 1), most.get(feature)) for feature in values if feature in most | least]
    return Leaf(node["ratios"], node["geometries"], ", ".join(words))


def _words(feature: str, least: int, most: int | None) -> str:
    if most is None:
        return f"{feature} at least {least}"
    return f"{feature} {least}" if least == most else f"{feature} {least} to {most}"


@cache
def trees(hardware: Hardware) -> list[dict[str, Any]]:
    """The trees of each kind of processor that this one may be: by its name one, or if it is unknown all.

    Of each kind those for the most cores that are not more than there are.
    """
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("*.json"))]
    own = [table for table in tables if all(word in hardware.processor for word in table["processor"].split())]
    kinds: dict[str, Any] = {}
    for table in sorted(own or tables, key=lambda table: table["cores"]):
        if table["cores"] <= hardware.cores or table["processor"] not in kinds:
            kinds[table["processor"]] = table["trees"]
    return list(kinds.values())
