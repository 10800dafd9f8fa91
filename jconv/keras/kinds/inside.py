"""Where the arrays of layers lie that are inside other layers: as alone, below the folder of the layer inside.

A layer inside is given as `(layer, prefix, folder)`: what its arrays' names begin with, and where it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...layers import Layer
from ...layers.nesting import unwrap

Inside = Iterable[tuple[Layer, str, str]]


def folders_inside(inside: Inside) -> dict[str, str]:
    """The `folders` of a kind whose layers hold `inside`."""
    found = {}
    for layer, prefix, folder in inside:
        found |= below(_of(layer)[0], prefix, folder)
    return found


def copies_inside(inside: Inside) -> dict[str, str]:
    """The `copies` of a kind whose layers hold `inside`."""
    found = {}
    for layer, prefix, folder in inside:
        found |= {f"{folder}/{path}": f"{prefix}/{name}" for path, name in _of(layer)[1].items()}
    return found


def below(folders: Mapping[str, str], prefix: str, folder: str) -> dict[str, str]:
    """A layer's folders where it lies in `folder`, and its arrays' names begin with `prefix`.

    >>> below({"query": "query_dense"}, "layer", "inner")
    {'layer': 'inner', 'layer/query': 'inner/query_dense'}
    >>> below({"": "cell"}, "forward", "forward_layer")
    {'forward': 'forward_layer/cell'}
    """
    return {
        f"{prefix}/{name}".rstrip("/"): f"{folder}/{path}".rstrip("/") for name, path in {"": "", **folders}.items()
    }


def _of(layer: Layer) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The folders and the copies of any layer, also of a model that is one."""
    # These have the table of kinds, of which this is a part.
    from ..read.nested import Nested
    from ..write.layer import BY_LAYER

    layer = unwrap(layer)
    if isinstance(layer, Nested):
        inside = layer.inside()
        return folders_inside(inside), copies_inside(inside)
    kind = BY_LAYER.get(type(layer))
    return ({}, {}) if kind is None else (kind.places(layer), kind.copies(layer))
