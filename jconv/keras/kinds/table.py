"""The table of kinds, and functions that need the kinds of inner layers too: for masks and the paths of arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ...layers import Layer
from ...layers.nesting import unwrap
from ..layers import NestedModel
from . import (
    activation,
    attention,
    convolution,
    core,
    merging,
    normalization,
    pooling,
    recurrent,
    regularization,
)
from .kind import Inside, Kind

MODULES = (
    activation,
    attention,
    convolution,
    core,
    merging,
    normalization,
    pooling,
    recurrent,
    regularization,
)
KINDS: dict[str, Kind] = {kind.name: kind for module in MODULES for kind in module.KINDS}
KINDS |= {kind.source_name: kind for kind in KINDS.values() if kind.source_name is not None}
# A layer of several kinds is written as the first of them.
_BY_LAYER = {kind.layer: kind for kind in reversed(KINDS.values())}


def kind_of(layer: Layer | None) -> Kind | None:
    """The kind of a layer, or of the layer in its wrappers; None if Keras has no such layer."""
    return _BY_LAYER.get(type(unwrap(layer)))


def mask_of(layer: Layer, kind: Kind) -> str | Layer:
    """The `mask` of a kind for one of its layers, never `"inside"`."""
    mask = kind.mask(layer) if callable(kind.mask) else kind.mask
    if mask != "inside":
        return mask
    inner = [kind_of(inside) for inside, _, _ in kind.inside(layer)]
    return "propagate" if all(kind is not None and kind.mask == "propagate" for kind in inner) else "stop"


def array_paths(layer: Layer | None, kind: Kind | None, names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`(paths, copies)`: the path of each array in the layer's folder; for the path of each copy, the array's name."""
    copies = _copies(layer, kind)
    return names_to_paths(names, _folders(layer, kind), copies), copies


def _folders(layer: Layer | None, kind: Kind | None) -> dict[str, str]:
    layer = unwrap(layer)
    found: dict[str, str] = {}
    if kind is not None:
        options = [key.field for key in kind.keys if key.allows_layer and isinstance(getattr(layer, key.field), Layer)]
        found = {**{option: option for option in options}, **kind.folders(layer)}
    for inner, prefix, folder in _inside(layer, kind):
        found |= nested_folders(_folders(inner, kind_of(inner)), prefix, folder)
    return found


def _copies(layer: Layer | None, kind: Kind | None) -> dict[str, str]:
    layer = unwrap(layer)
    found = {} if kind is None else dict(kind.copies(layer))
    for inner, prefix, folder in _inside(layer, kind):
        copies = _copies(inner, kind_of(inner))
        found |= {f"{folder}/{path}": f"{prefix}/{name}" for path, name in copies.items()}
    return found


def _inside(layer: Any, kind: Kind | None) -> Iterable[Inside]:
    if isinstance(layer, NestedModel):
        return layer.inside()
    return () if kind is None else kind.inside(layer)


def nested_folders(folders: Mapping[str, str], prefix: str, folder: str) -> dict[str, str]:
    """The folders of a layer inside another: its arrays' names begin with `prefix`, and it is stored in `folder`.

    >>> nested_folders({"query": "query_dense"}, "layer", "inner")
    {'layer': 'inner', 'layer/query': 'inner/query_dense'}
    >>> nested_folders({"": "cell"}, "forward", "forward_layer")
    {'forward': 'forward_layer/cell'}
    """
    return {
        f"{prefix}/{name}".rstrip("/"): f"{folder}/{path}".rstrip("/") for name, path in {"": "", **folders}.items()
    }


def names_to_paths(names: list[str], folders: Mapping[str, str], copies: Collection[str] = ()) -> dict[str, str]:
    """The path of each array: the folder of its prefix, and its number there. Paths in `copies` are skipped.

    >>> names_to_paths(["kernel", "query/kernel", "query/bias"], {"query": "query_dense"})
    {'kernel': 'vars/0', 'query/kernel': 'query_dense/vars/0', 'query/bias': 'query_dense/vars/1'}
    >>> names_to_paths(["vector_u"], {}, {"vars/0": "layer/kernel"})
    {'vector_u': 'vars/1'}
    """
    counts: Counter[str] = Counter()
    paths = {}
    for name in names:
        prefix = name.rpartition("/")[0]
        folder = folders[prefix] if prefix or "" in folders else ""
        while (path := f"{folder}/vars/{counts[folder]}".lstrip("/")) in copies:
            counts[folder] += 1
        counts[folder] += 1
        paths[name] = path
    return paths
