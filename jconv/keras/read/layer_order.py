"""In which order a file of Keras 2's arrangement lists the arrays of a layer, or of a model in the model.

The trained ones come first. Which are trained the config does not say wholly: `trainable=False` that a layer was made
with leaves what is inside it trained, where it is inside another, and the same set afterwards does not. A model that
was made with it has no order but that of its layers. So the order is the one that agrees best with the arrays' names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from ...layers import ConvLSTM1D, Frozen, Layer
from ...layers.attention.heads import MultiHeadBase
from ...layers.nesting import unwrap
from .nested import Nested
from .parts import Part

Variable = tuple[Part, str]


def listed(part: Part, names: Sequence[str]) -> list[Variable]:
    """The layer and the name of each array of a part whose arrays the file names `names`."""
    leaves = part.leaves()
    named = _by_names(part, names)
    if named is not None:
        return named
    plain = [_of(leaf, leaf.layer) for leaf in leaves]
    as_made = [_of(leaf, _as_made(leaf.layer)) for leaf in leaves] if part.layer is None else [_of_one(part)]
    orders = [_trained_first(plain), _trained_first(as_made), [v for trained, rest in plain for v in trained + rest]]
    # Of orders that agree as well as each other, the first.
    return max(orders, key=lambda order: _agreement(order, names))


def _by_names(part: Part, names: Sequence[str]) -> list[Variable] | None:
    """The arrays of a layer whose own names, of layers inside, stand at the end of those in the file; else None."""
    if part.layer is None:
        return None
    own = [name for _, name in _trained_first([_of(part, part.layer)])]
    paths = [name.partition(":")[0] for name in names]
    if len(own) != len(paths) or not all(own) or not all(name.count("/") > 1 for name in own):
        return None
    found = [next((name for name in own if path.endswith(f"/{name}")), "") for path in paths]
    return [(part, name) for name in found] if sorted(found) == sorted(own) else None


def _agreement(order: list[Variable], names: Sequence[str]) -> int:
    agreed = 0
    for (leaf, own), name in zip(order, names, strict=False):
        *above, last = name.partition(":")[0].split("/")
        agreed += (own.rpartition("/")[2] == last) + (leaf.name in above)
    return agreed


def _trained_first(variables: list[tuple[list[Variable], list[Variable]]]) -> list[Variable]:
    return [v for trained, _ in variables for v in trained] + [v for _, rest in variables for v in rest]


def _of(leaf: Part, layer: Layer | None) -> tuple[list[Variable], list[Variable]]:
    """The arrays that are trained, and the others."""
    if layer is None:
        return [], []
    trained = list(layer.param_shapes(leaf.input_shape))
    rest = _kernels_first([name for name in layer.state_shapes(leaf.input_shape) if name not in trained])
    return [(leaf, name) for name in trained], [(leaf, name) for name in rest]


def _of_one(part: Part) -> tuple[list[Variable], list[Variable]]:
    """Of a layer that is in no other: frozen itself, all that is inside it is."""
    frozen = isinstance(part.layer, Layer) and _is_frozen(part.layer)
    return _of(part, part.layer if frozen else _as_made(part.layer))


def _is_frozen(layer: Layer) -> bool:
    while (inner := getattr(layer, "layer", None)) is not None and layer is not unwrap(layer):
        if isinstance(layer, Frozen):
            return True
        layer = inner
    return False


def _as_made(value: Any) -> Any:
    """The layer with what holds layers thawed, and what it holds not."""
    if isinstance(value, Frozen):
        inner = unwrap(value)
        holds = isinstance(inner, (ConvLSTM1D, MultiHeadBase, Nested)) or any(
            isinstance(getattr(inner, f.name), Layer) for f in fields(inner)
        )
        return _as_made(value.layer) if holds else value
    if isinstance(value, Nested):
        nodes = tuple(replace(node, layer=_as_made(node.layer)) for node in value.model.nodes)
        return replace(value, model=replace(value.model, nodes=nodes))
    if not isinstance(value, Layer):
        return value
    inner = {f.name: v for f in fields(value) if isinstance(v := getattr(value, f.name), Layer)}
    return replace(value, **{name: _as_made(v) for name, v in inner.items()}) if inner else value


def _kernels_first(names: list[str]) -> list[str]:
    """Arrays that are not trained, with each kernel that spectral normalization wraps, then its vector, first.

    >>> _kernels_first(["layer/bias", "layer/kernel", "vector_u"])
    ['layer/kernel', 'vector_u', 'layer/bias']
    """
    for vector in [name for name in names if name.rpartition("/")[2] == "vector_u"]:
        prefix = vector.removesuffix("vector_u")
        kernels = [name for name in names if name in (f"{prefix}layer/kernel", f"{prefix}layer/embeddings")]
        own = [name for name in names if name.startswith(prefix)]
        ahead = [*kernels, vector]
        start = names.index(own[0])
        names = [name for name in names if name not in own]
        names[start:start] = ahead + [name for name in own if name not in ahead]
    return names
