"""Masks along a chain of layers, handed from each to the next as Keras does behind the scenes."""

from __future__ import annotations

from collections.abc import Sequence

from .. import layers as jl
from ..layers.base import ActivationLayer, Layer
from ..layers.nesting import replace_options, unwrap

# What a chain hands masks through; recurrent layers where they give a sequence.
KEEPING = (
    ActivationLayer,
    jl.Dense,
    jl.Dropout,
    jl.SpatialDropout1D,
    jl.GaussianDropout,
    jl.GaussianNoise,
    jl.AlphaDropout,
    jl.ActivityRegularization,
    jl.BatchNormalization,
    jl.LayerNormalization,
    jl.GroupNormalization,
    jl.UnitNormalization,
    jl.Rescaling,
    jl.Normalization,
    jl.TimeDistributed,
)


def chained(layers: Sequence[Layer], names: Sequence[str]) -> list[tuple[str, Layer, tuple[str, ...]]]:
    """`(name, layer, inputs)` of each node of a chain from `"input"`, with those that make the masks that are read.

    Raises `ValueError` for a layer that would read a mask in a way that a chain cannot say.
    """
    nodes: list[tuple[str, Layer, tuple[str, ...]]] = []
    made: set[str] = set()
    value = "input"
    # The layer that makes the present mask, and what that reads.
    mask: tuple[Layer, str] | None = None
    for name, layer in zip(names, layers, strict=True):
        inner = unwrap(layer)
        read = (value,)
        if mask is not None and getattr(inner, "inputs", None) == ("x",):
            raise ValueError(
                f"sequential: {type(inner).__name__} {name!r} would read the mask of {mask[1]!r}; use a Model"
            )
        if mask is not None and getattr(inner, "inputs", None) == ("sequence",):
            masked = f"{mask[1]}/mask"
            if masked not in made:
                made.add(masked)
                nodes.append((masked, *_node(mask)))
            layer, read = replace_options(layer, inputs=("sequence", "mask")), (value, masked)
        nodes.append((name, layer, read))
        if isinstance(inner, jl.Masking):
            mask = jl.MaskOf(inner.mask_value), value
        elif isinstance(inner, jl.Embedding):
            mask = (jl.NonzeroMask(), value) if inner.mask_zero else None
        elif not keeps_mask(layer):
            mask = None
        value = name
    return nodes


def keeps_mask(layer: Layer) -> bool:
    """Whether a layer on a masked sequence gives one with the same mask."""
    inner = unwrap(layer)
    if isinstance(inner, jl.SpectralNormalization):
        return keeps_mask(inner.layer)
    if isinstance(inner, jl.Bidirectional):
        return inner.returns_sequences
    if isinstance(inner, (jl.LSTM, jl.GRU, jl.SimpleRNN, jl.ConvLSTM1D)):
        return inner.return_sequences
    return isinstance(inner, KEEPING)


def _node(mask: tuple[Layer, str]) -> tuple[Layer, tuple[str, ...]]:
    layer, reads = mask
    return layer, (reads,)
