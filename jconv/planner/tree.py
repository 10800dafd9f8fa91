"""Decision trees for each operation, learned from measurements on one kind of processor and number of cores.

`python -m benchmarks.planner learn` writes `data/*.json`. A node is `[feature, threshold, node, node]`: the first node
is for values up to the threshold, the second for values above. A leaf contains the number of measured geometries and,
for each algorithm that is faster than lax there, its time relative to lax (the geometric mean).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..sizes import Sizes
from .hardware import Hardware

DATA = Path(__file__).parent / "data"
# How the path names features whose names are short in the data.
FEATURE_WORDS = {"rows": "batch * output length", "terms": "terms of a sum", "weights": "elements of the kernel"}


class Leaf(NamedTuple):
    """A leaf of a decision tree.

    Attributes:
        ratios: Time relative to lax of each algorithm that is faster.
        geometries: Number of measured geometries.
        path: The range of sizes that the leaf covers, in words.
    """

    ratios: dict[str, float]
    geometries: int
    path: str


def features(sizes: Sizes) -> dict[str, int]:
    """Returns the values that the nodes of the trees compare with their thresholds.

    Args:
        sizes: The sizes of one convolution.

    Returns:
        The values by name, always in the same order.

    >>> from jconv.geometry import Geometry
    >>> features(Sizes(Geometry(100, 3), batch=2, in_channels=4, out_channels=8))["terms"]
    12
    """
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
    """Walks a tree from its root `node` to the leaf for a convolution.

    >>> from jconv.geometry import Geometry
    >>> leaf = {"geometries": 9, "ratios": {"shifts": 0.4}}
    >>> walk(["kernel size", 8.5, leaf, leaf], Sizes(Geometry(100, 3), 1, 1, 1))
    Leaf(ratios={'shifts': 0.4}, geometries=9, path='kernel size 1 to 8')
    """
    values, upper, lower = features(sizes), {}, {}
    while isinstance(node, list):
        feature, threshold, low, high = node
        is_low = values[feature] <= threshold
        (upper if is_low else lower)[feature] = int(threshold) + (not is_low)
        node = low if is_low else high
    path = [_format_range(name, lower.get(name, 1), upper.get(name)) for name in values if name in upper | lower]
    return Leaf(node["ratios"], node["geometries"], ", ".join(path))


def _format_range(feature: str, lower: int, upper: int | None) -> str:
    feature = FEATURE_WORDS.get(feature, feature)
    if upper is None:
        return f"{feature} at least {lower}"
    return f"{feature} {lower}" if lower == upper else f"{feature} {lower} to {upper}"


def save_trees(processor: str, cores: int, trees: dict[str, Any], folder: Path | None = None) -> Path:
    """Writes trees to a file.

    Args:
        processor: Words that the names of these processors contain.
        cores: The number of cores that the trees were measured with.
        trees: A tree for each operation.
        folder: The folder of the file; by default the data of this package, which the planner reads.

    Returns:
        The path of the file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_trees("AMD EPYC", 4, {}, Path(folder)).name
    'amd-epyc-4.json'
    """
    path = (folder or DATA) / f"{processor.lower().replace(' ', '-')}-{cores}.json"
    content = {"processor": processor, "cores": cores, "trees": trees}
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    return path


@cache
def trees(hardware: Hardware) -> list[dict[str, Any]]:
    """Returns the trees for each kind of processor that `hardware` may have: one if its name is known, otherwise all.

    For each kind these are the trees for the largest number of cores that does not exceed the cores of `hardware`.
    """
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("*.json"))]
    own = [table for table in tables if all(word in hardware.processor for word in table["processor"].split())]
    by_kind: dict[str, Any] = {}
    for table in sorted(own or tables, key=lambda table: table["cores"]):
        if table["cores"] <= hardware.cores or table["processor"] not in by_kind:
            by_kind[table["processor"]] = table["trees"]
    return list(by_kind.values())
