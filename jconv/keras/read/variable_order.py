"""The order of the arrays of a layer or a nested model in a Keras 2 file.

Trainable arrays come first, but the config does not say completely which these are. A layer made with
`trainable=False` leaves the layers inside it trainable if it is itself inside another layer; setting `trainable` to
false later does not. A model made with `trainable=False` has the order of its layers. Therefore all possible orders are
compared with the names of the arrays, and the best match is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from ...layers import ConvLSTM1D, Frozen, Layer
from ...layers.attention.heads import MultiHeadBase
from ...layers.nesting import unwrap
from ...layers.wrapper import Wrapper
from ..layers import NestedModel
from .parts import ModelPart

# A layer, and the name of one of its arrays.
Variable = tuple[ModelPart, str]
# The trainable arrays of a layer, and the others.
Split = tuple[list[Variable], list[Variable]]


def ordered_variables(part: ModelPart, names: Sequence[str]) -> list[Variable]:
    """The arrays of a part, in the order of their `names` in the file."""
    if part.layer is not None:
        matched = _match_names(part, names)
        if matched is not None:
            return matched
        is_frozen = _is_frozen(part.layer)
        unfrozen = [_split(part, part.layer if is_frozen else _unfreeze(part.layer))]
    else:
        unfrozen = [_split(leaf, _unfreeze(leaf.layer)) for leaf in part.leaves()]
    as_read = [_split(leaf, leaf.layer) for leaf in part.leaves()]
    unsorted = [v for trainable, rest in as_read for v in trainable + rest]
    orders = [_trainable_first(as_read), _trainable_first(unfrozen), unsorted]
    # Of equally good orders, the first.
    return max(orders, key=lambda order: _matches(order, names))


def _match_names(part: ModelPart, names: Sequence[str]) -> list[Variable] | None:
    """The arrays of a layer that contains layers, by name, if each name in the file ends with one of the layer's."""
    own = [name for _, name in _trainable_first([_split(part, part.layer)])]
    paths = [name.partition(":")[0] for name in names]
    if len(own) != len(paths) or not all(name.count("/") > 1 for name in own):
        return None
    found = [next((name for name in own if path.endswith(f"/{name}")), "") for path in paths]
    return [(part, name) for name in found] if sorted(found) == sorted(own) else None


def _matches(order: list[Variable], names: Sequence[str]) -> int:
    count = 0
    for (leaf, own), name in zip(order, names, strict=False):
        *above, last = name.partition(":")[0].split("/")
        count += (own.rpartition("/")[2] == last) + (leaf.name in above)
    return count


def _trainable_first(splits: list[Split]) -> list[Variable]:
    return [v for trainable, _ in splits for v in trainable] + [v for _, rest in splits for v in rest]


def _split(leaf: ModelPart, layer: Any) -> Split:
    trainable = list(layer.param_shapes(leaf.input_shape))
    rest = _kernels_first([name for name in layer.state_shapes(leaf.input_shape) if name not in trainable])
    return [(leaf, name) for name in trainable], [(leaf, name) for name in rest]


def _is_frozen(layer: Any) -> bool:
    while isinstance(layer, Wrapper) and not isinstance(layer, Frozen):
        layer = layer.layer
    return isinstance(layer, Frozen)


def _unfreeze(value: Any) -> Any:
    """A layer without `Frozen` wrappers around layers that contain other layers; all other `Frozen` wrappers stay."""
    if isinstance(value, Frozen):
        inner = unwrap(value)
        has_layers = isinstance(inner, (ConvLSTM1D, MultiHeadBase, NestedModel)) or _inner_layers(inner)
        return _unfreeze(value.layer) if has_layers else value
    if isinstance(value, NestedModel):
        nodes = tuple(replace(node, layer=_unfreeze(node.layer)) for node in value.model.nodes)
        return replace(value, model=replace(value.model, nodes=nodes))
    inner = _inner_layers(value)
    return replace(value, **{name: _unfreeze(layer) for name, layer in inner.items()}) if inner else value


def _inner_layers(layer: Any) -> dict[str, Layer]:
    """The layers in a layer's fields."""
    return {f.name: value for f in fields(layer) if isinstance(value := getattr(layer, f.name), Layer)}


def _kernels_first(names: list[str]) -> list[str]:
    """Reorder names of untrained arrays: of each spectral normalization, the kernel and then the vector come first.

    >>> _kernels_first(["layer/bias", "layer/kernel", "vector_u"])
    ['layer/kernel', 'vector_u', 'layer/bias']
    """
    for vector in [name for name in names if name.rpartition("/")[2] == "vector_u"]:
        prefix = vector.removesuffix("vector_u")
        own = [name for name in names if name.startswith(prefix)]
        first = [name for name in own if name in (f"{prefix}layer/kernel", f"{prefix}layer/embeddings")] + [vector]
        start = names.index(own[0])
        names = [name for name in names if name not in own]
        names[start:start] = first + [name for name in own if name not in first]
    return names
