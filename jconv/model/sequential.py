"""`sequential`: a model from a list of layers, which pass masks from one to the next as in Keras."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .. import layers as jl
from ..hints import did_you_mean, shown
from ..layers.base import ActivationLayer, Layer, Shape
from ..layers.nesting import replace_options, unwrap
from .graph import Model
from .needed import RANDOM
from .nodes import Node, check_layer

# Layers whose output has the mask of their input. For recurrent layers this depends on their options.
MASK_KEEPING = (
    ActivationLayer,
    *RANDOM,
    jl.Dense,
    jl.ActivityRegularization,
    jl.BatchNormalization,
    jl.LayerNormalization,
    jl.GroupNormalization,
    jl.UnitNormalization,
    jl.Rescaling,
    jl.Normalization,
    jl.TimeDistributed,
)


def sequential(
    layers: Iterable[Layer], *, names: Sequence[str] | None = None, input_shape: Shape | None = None
) -> Model:
    """A model in which each layer reads the output of the layer before; the first reads the input `"input"`.

    As in Keras, the mask of a `Masking` layer, or of an `Embedding` with `mask_zero`, is passed to the layers that read
    masks, up to a layer that does not keep it. A node with a name such as `"input/mask"` then computes the mask.

    Args:
      layers: at least one layer.
      names: a name for each layer; by default Keras's: `"conv1d"`, `"conv1d_1"`, ...
      input_shape: the shape of one example without the batch axis, if it is known.

    Returns:
      A `Model` with one input, and the last layer's output as its only output.

    Raises:
      ValueError: for no layer, for something else than a layer, for a wrong number of names, and for a `Softmax` that
        would read a mask, for which a `Model` is needed.

    >>> from jconv.layers import Conv1D
    >>> model = sequential([Conv1D(16, 12, stride=12, padding="same"), Conv1D(16, 12, stride=12, padding="same")])
    >>> model.output_shapes((100, 1))
    {'conv1d': (9, 16), 'conv1d_1': (1, 16)}
    """
    if not isinstance(layers, Iterable) or isinstance(layers, str):
        hint = did_you_mean("sequential([...])" if isinstance(layers, Layer) else None)
        raise ValueError(f"sequential takes a list of layers, got {shown(layers)}{hint}")
    layers = tuple(layers)
    for position, layer in enumerate(layers):
        check_layer(f"layer {position} of sequential", layer)
    if not layers:
        raise ValueError("sequential needs at least one layer, got none")
    if names is None:
        names = _keras_names(layers)
    if len(names) != len(layers):
        raise ValueError(f"names must have one name for each of {len(layers)} layers, got {len(names)}")
    nodes = _chain(layers, names)
    return Model(nodes, ("input",), (names[-1],), None if input_shape is None else (input_shape,))


def _chain(layers: Sequence[Layer], names: Sequence[str]) -> tuple[Node, ...]:
    """The nodes of a chain, including those that compute the masks that its layers read."""
    nodes: list[Node] = []
    value = "input"
    mask: Node | None = None
    for name, layer in zip(names, layers, strict=True):
        inner = unwrap(layer)
        mask_option = getattr(inner, "inputs", None)
        inputs = (value,)
        if mask is not None and mask_option == ("x",):
            raise ValueError(
                f"sequential: {type(inner).__name__} {name!r} would read the mask of {mask.inputs[0]!r}; use a Model"
            )
        if mask is not None and mask_option == ("sequence",):
            if mask not in nodes:
                nodes.append(mask)
            layer, inputs = replace_options(layer, inputs=("sequence", "mask")), (value, mask.name)
        nodes.append(Node(name, layer, inputs))
        if isinstance(inner, jl.Masking):
            mask = Node(f"{value}/mask", jl.MaskOf(inner.mask_value), (value,))
        elif isinstance(inner, jl.Embedding):
            mask = Node(f"{value}/mask", jl.NonzeroMask(), (value,)) if inner.mask_zero else None
        elif not _keeps_mask(layer):
            mask = None
        value = name
    return tuple(nodes)


def _keeps_mask(layer: Layer) -> bool:
    """Whether the layer's output has the mask of its input."""
    inner = unwrap(layer)
    if isinstance(inner, jl.SpectralNormalization):
        return _keeps_mask(inner.layer)
    if isinstance(inner, jl.Bidirectional):
        return inner.returns_sequences
    if isinstance(inner, (jl.LSTM, jl.GRU, jl.SimpleRNN, jl.ConvLSTM1D)):
        return inner.return_sequences
    return isinstance(inner, MASK_KEEPING)


def _keras_names(layers: Sequence[Layer]) -> list[str]:
    """The names that Keras gives: the class in snake case, with a number from the second on."""
    counts: Counter[str] = Counter()
    names = []
    for layer in layers:
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        names.append(f"{name}_{counts[name]}" if counts[name] else name)
        counts[name] += 1
    return names
