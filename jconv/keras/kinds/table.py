"""The table of kinds, and the functions that also read the kinds of the layers inside a layer: masks, array paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
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
from .kind import OTHER, Kind

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
# A jconv class that several kinds share is written as the first of them.
_BY_LAYER = {kind.layer: kind for kind in reversed(KINDS.values())}


def kind_of(layer: Layer | None) -> Kind | None:
    """The kind of a layer without its wrappers; None if Keras has no such layer."""
    return _BY_LAYER.get(type(unwrap(layer)))


def mask_of(layer: Layer, kind: Kind) -> str | Layer:
    """The `mask` of a kind for one of its layers, with `"inside"` replaced by what the layers inside do."""
    mask = kind.mask(layer) if callable(kind.mask) else kind.mask
    if mask != "inside":
        return mask
    kinds = [kind_of(inner) or OTHER for inner, _, _ in kind.inside(layer)]
    return "propagate" if all(kind.mask == "propagate" for kind in kinds) else "stop"


def array_paths(layer: Layer | None, kind: Kind | None, names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`(paths, copies)`: the path of each array by name, and the array's name by the path of each copy in the file."""
    folders: dict[str, str] = {}
    copies: dict[str, str] = {}
    for inner, own, prefix, folder in _layers_inside(layer, kind or OTHER):
        layers = [key.field for key in own.keys if key.allows_layer and isinstance(getattr(inner, key.field), Layer)]
        for name, path in {"": "", **{option: option for option in layers}, **own.folders(inner)}.items():
            folders[_join(prefix, name)] = _join(folder, path)
        copies |= {_join(folder, path): _join(prefix, name) for path, name in own.copies(inner).items()}
    return names_to_paths(names, folders, copies), copies


def _layers_inside(layer: Any, kind: Kind, prefix: str = "", folder: str = "") -> Iterator[tuple[Any, Kind, str, str]]:
    """A layer and all layers inside it: for each `(layer, kind, prefix of its arrays' names, folder)`."""
    layer = unwrap(layer)
    yield layer, kind, prefix, folder
    for inner, own_prefix, own_folder in layer.inside() if isinstance(layer, NestedModel) else kind.inside(layer):
        own = kind_of(inner) or OTHER
        yield from _layers_inside(inner, own, _join(prefix, own_prefix), _join(folder, own_folder))


def _join(first: str, second: str) -> str:
    """Joins two parts of a path, each of which may be empty.

    >>> _join("forward", "cell"), _join("", "cell"), _join("forward", "")
    ('forward/cell', 'cell', 'forward')
    """
    return f"{first}/{second}" if first and second else first or second


def names_to_paths(names: list[str], folders: Mapping[str, str], copies: Collection[str] = ()) -> dict[str, str]:
    """The path of each array: the folder of its prefix, and its index there. Paths in `copies` are skipped.

    >>> names_to_paths(["kernel", "query/kernel", "query/bias"], {"": "", "query": "query_dense"})
    {'kernel': 'vars/0', 'query/kernel': 'query_dense/vars/0', 'query/bias': 'query_dense/vars/1'}
    >>> names_to_paths(["vector_u"], {"": ""}, {"vars/0": "layer/kernel"})
    {'vector_u': 'vars/1'}
    """
    counts: Counter[str] = Counter()
    paths = {}
    for name in names:
        folder = folders[name.rpartition("/")[0]]
        while (path := f"{folder}/vars/{counts[folder]}".lstrip("/")) in copies:
            counts[folder] += 1
        counts[folder] += 1
        paths[name] = path
    return paths
