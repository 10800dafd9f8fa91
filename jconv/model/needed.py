"""Computes only those samples of each layer that the model's outputs need.

A model that ends in a crop, or in one step of a sequence, needs fewer samples of each earlier layer. The needed ranges
are propagated backwards through the graph, exactly: each output is computed from the same terms as before, with the
zeros of `same` padding where the range touches an end. Results are the same to the bit where the same algorithm
computes them. A layer without a rule in `RULES` is computed completely, and so is all that it reads.

A range is `(start, stop)` along axis 1, the length; None is the complete value. Only sequences of shape
(length, channels) are cut. With `lengths`, the range of the longest row includes the ranges of all rows, and the
padding of each row is set to zero, as without cuts. Only the layers in `RULES_WITH_LENGTHS` are cut then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import layers as jl
from ..geometry import is_integer, make_geometry
from ..layers.axes import axis_positions
from ..layers.base import Layer, map_inputs
from ..layers.nesting import replace_options
from ..layers.operations.operands import Constant, Input, Slice
from ..layers.operations.operation_window import ELEMENTWISE
from ..primitive.placement import replicate_length
from ..ragged.sequences import Sequences
from ..ragged.windows import Window
from .nodes import LayerGraph, Node

Range = tuple[int, int] | None


class PartialLayer(NamedTuple):
    """A layer that computes the samples `span` of a node's output from the samples `reads` of its inputs."""

    layer: Layer
    span: Range
    reads: tuple[Range, ...]


PartialLayers = Mapping[str, PartialLayer]


def call_part(
    parts: PartialLayers,
    training: bool,
    node: Node,
    arrays: tuple[Any, Any],
    values: Mapping[str, Any],
    key: jax.Array | None,
) -> tuple[Any, Any]:
    """`(y, state)` of a node, where `y` is its part, or its complete output if it has no part."""
    layer = parts[node.name].layer if node.name in parts else node.layer
    return layer.apply(*arrays, _read(parts, node, values), training=training, key=key)


def call_part_with_lengths(
    parts: PartialLayers,
    training: bool,
    node: Node,
    arrays: tuple[Any, Any],
    values: Mapping[str, Any],
    sequences: Mapping[str, Any],
    key: jax.Array | None,
) -> tuple[Any, Any, Any]:
    """`(y, state, sequences)` of a node; `sequences` are the positions in complete values."""
    selected, part = node.select(sequences), parts.get(node.name)
    if part is None or (part.span is None and not any(part.reads)):
        return node.layer.apply_sequences(*arrays, node.select(values), selected, training=training, key=key)
    x, inner = _read(parts, node, values), _unfrozen(node.layer)
    # The ranges of all inputs start at the same sample.
    start = part.reads[0][0] if part.reads[0] else 0
    if selected is not None and type(inner) in OUTPUT_SEQUENCES:
        y, state = part.layer.apply(*arrays, _cut_ends(selected, start).replace_padding(x), training=training, key=key)
        out = OUTPUT_SEQUENCES[type(inner)](inner, selected)
        return _cut_ends(out, part.span[0] if part.span else 0).replace_padding(y), state, out
    cut = map_inputs(lambda one: None if one is None else _cut_ends(one, start), selected)
    y, state, out = part.layer.apply_sequences(*arrays, x, cut, training=training, key=key)
    return y, state, None if out is None else _cut_ends(out, -start)


def partly_read_nodes(graph: LayerGraph, parts: PartialLayers) -> frozenset[str]:
    """The nodes whose output has several readers, of which at least one reads only a slice of the computed samples.

    XLA's CPU compiler computes such a value again for each reader of a slice. In a chain of residual sums, it computes
    the last sum from the outputs of all blocks.
    """
    if not parts:
        return frozenset()
    reads: dict[str, list[Range]] = {}
    for node in graph.nodes:
        for name, span in zip(node.inputs, parts[node.name].reads, strict=True):
            reads.setdefault(name, []).append(span)
    return frozenset(
        name
        for name, spans in reads.items()
        if name in parts and len(spans) > 1 and any(span not in (None, parts[name].span) for span in spans)
    )


def _cut_ends(sequences: Sequences, start: int) -> Sequences:
    """The sequences of a value without its first `start` samples. Ends may be outside of the value."""
    return replace(sequences, end=sequences.end - start)


def _read(parts: PartialLayers, node: Node, values: Mapping[str, Any]) -> Any:
    reads = parts[node.name].reads if node.name in parts else (None,) * len(node.inputs)
    spans = [parts[name].span if name in parts else None for name in node.inputs]
    read = tuple(_cut(values[name], *cut) for name, *cut in zip(node.inputs, spans, reads, strict=True))
    return read if node.layer.has_several_inputs else read[0]


def find_parts(graph: LayerGraph, x: Any, training: bool, with_lengths: bool = False) -> PartialLayers:
    """The parts that compute the outputs for inputs `x`; none if no layer drops samples, or if shapes do not fit."""
    if not any(_drops_samples(_unfrozen(node.layer)) for node in graph.nodes):
        return {}
    shapes = {name: tuple(jnp.shape(array)[1:]) for name, array in graph.named(x).items()}
    if not all(is_integer(size) for shape in shapes.values() for size in shape):
        return {}
    try:
        shapes |= graph.output_shapes(shapes)
    except ValueError:
        # The layer that rejects the shapes raises its own error when it is applied.
        return {}
    return plan(graph, shapes, training, with_lengths)


def plan(graph: LayerGraph, shapes: Mapping[str, Any], training: bool, with_lengths: bool = False) -> PartialLayers:
    """As `find_parts`, for the `shapes` of all inputs and nodes by name.

    >>> from jconv import sequential
    >>> model = sequential([jl.Conv1D(4, 3, padding="same"), jl.Conv1D(4, 3, padding="same"), jl.Cropping1D(10)])
    >>> shapes = {"input": (100, 4), **model.output_shapes((100, 4))}
    >>> {name: part.span for name, part in plan(model, shapes, training=False).items()}
    {'cropping1d': None, 'conv1d_1': (10, 90), 'conv1d': (9, 91)}
    """
    wanted: dict[str, Range] = dict.fromkeys(graph.outputs)
    parts: dict[str, PartialLayer] = {}
    for node in reversed(graph.nodes):
        read = tuple(shapes[name] for name in node.inputs)
        part = _part(node.layer, read, shapes[node.name], wanted[node.name], training, with_lengths)
        parts[node.name] = part
        for name, span in zip(node.inputs, part.reads, strict=True):
            wanted[name] = _hull(wanted[name], span) if name in wanted else span
    return parts


def _part(
    layer: Layer, read: tuple[Any, ...], shape: Any, span: Range, training: bool, with_lengths: bool
) -> PartialLayer:
    complete = PartialLayer(layer, None, (None,) * len(read))
    inner: Any = _unfrozen(layer)
    if not _is_sequence(read[0]) or (training and isinstance(inner, TRAINING_MIXES)):
        return complete
    rules = RULES_WITH_LENGTHS if with_lengths else RULES
    # With lengths, the layer rejects an index along the length.
    if (index := _single_index(inner)) is not None and not with_lengths:
        start = index % read[0][0]
        return PartialLayer(replace_options(layer, **_with_length_key(inner, 0)), None, ((start, start + 1),))
    drops = _drops_samples(inner)
    if type(inner) not in rules or not _is_sequence(shape) or not (span or drops):
        return complete
    found = rules[type(inner)](inner, read, span or (0, shape[0]))
    if found is None:
        return complete
    options, reads = found
    reads = tuple(None if one == (0, full[0]) else one for one, full in zip(reads, read, strict=True))
    return PartialLayer(replace_options(layer, **options) if options else layer, span, reads)


def _unfrozen(layer: Layer) -> Layer:
    return layer.layer if isinstance(layer, jl.Frozen) else layer


def _is_sequence(shape: Any) -> bool:
    return len(shape) == 2 and all(is_integer(size) for size in shape)


def _hull(first: Range, second: Range) -> Range:
    if first is None or second is None:
        return None
    return min(first[0], second[0]), max(first[1], second[1])


def _cut(value: Any, held: Range, span: Range) -> Any:
    if span is None or span == held:
        return value
    start = held[0] if held else 0
    # JAX cannot slice a length that is sharded over an explicit mesh.
    return replicate_length(jnp.asarray(value))[:, span[0] - start : span[1] - start]


# --- rules --------------------------------------------------------------------------------------------------------
# Each rule takes a layer, its inputs' shapes and the range of its output. It returns the options that change and the
# ranges of the inputs, or None if all samples are needed.

Rule = Callable[[Any, tuple[Any, ...], tuple[int, int]], tuple[dict[str, Any], tuple[Range, ...]] | None]

# Random values are drawn for the complete shape, and statistics are computed from all samples.
RANDOM = (jl.Dropout, jl.SpatialDropout1D, jl.GaussianDropout, jl.GaussianNoise, jl.AlphaDropout)
TRAINING_MIXES = (jl.BatchNormalization, *RANDOM)
ELEMENTWISE_ACTIVATIONS = (jl.ReLU, jl.LeakyReLU, jl.ELU, jl.HardSigmoid)
CONVOLUTIONS = (jl.Conv1D, jl.DepthwiseConv1D, jl.SeparableConv1D)


def _over_channels(layer: Any) -> bool:
    """Whether a layer with an `axis` works along the channels alone, of one input (length, channels)."""
    return not layer.has_several_inputs and axis_positions(layer, layer.axis, (1, 1)) == (2,)


def _is_samplewise(activation: Any) -> bool:
    # A function may read the complete length.
    return activation is None or isinstance(activation, (str, *ELEMENTWISE_ACTIVATIONS))


def _samplewise(condition: Callable[[Any], bool] = lambda layer: True) -> Rule:
    """Output sample t depends on sample t of each input. Inputs that broadcast along the length are read completely."""

    def rule(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
        length = max(shape[0] for shape in read if _is_sequence(shape))
        spans = tuple(span if _is_sequence(shape) and shape[0] == length else None for shape in read)
        return ({}, spans) if condition(layer) else None

    return rule


def _convolution(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    if not _is_samplewise(layer.activation) or layer.padding_mode != "zeros":
        return None
    size, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    found = _windows(read[0][0], span, size, stride=stride, padding=layer.padding, dilation=dilation)
    return found and ({"padding": found[1]}, (found[0],))


def _pooling(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    size, stride = layer.window()
    found = _windows(read[0][0], span, size, stride=stride, padding=layer.padding)
    # Pooling layers cannot pad one end alone.
    return ({"padding": "valid"}, (found[0],)) if found and found[1] == (0, 0) else None


def _windows(
    length: int, span: tuple[int, int], size: int, **options: Any
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The samples that windows read, and the zeros before and after them; None for windows of zeros alone.

    >>> _windows(10, (0, 4), 3, padding="same")
    ((0, 5), (1, 0))
    """
    geometry = make_geometry(length, size, **options)
    start = span[0] * geometry.stride - geometry.low
    stop = (span[1] - 1) * geometry.stride - geometry.low + geometry.reach
    inside = max(start, 0), min(stop, length)
    return (inside, (inside[0] - start, stop - inside[1])) if inside[0] < inside[1] else None


def _zero_padding(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    start, stop = (end - layer.ends[0] for end in span)
    inside = max(start, 0), min(stop, read[0][0])
    return ({"padding": (inside[0] - start, stop - inside[1])}, (inside,)) if inside[0] < inside[1] else None


def _cropping(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    start, stop = (end + layer.ends[0] for end in span)
    return {"cropping": 0}, ((start, stop),)


def _operation(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    return (_slice if layer.function == "get_item" else _elementwise_operation)(layer, read, span)


def _elementwise_operation(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    given = (*layer.arguments, *(value for _, value in layer.options))
    sized = any(isinstance(value, (tuple, Constant)) for value in given)
    if layer.function not in ELEMENTWISE or sized or not all(map(_is_sequence, read)):
        return None
    return _samplewise()(layer, read, span)


def _slice(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    part = _length_key(layer)
    if not isinstance(part, Slice):
        return None
    taken = range(read[0][0])[part.start : part.stop : part.step][span[0] : span[1]]
    if taken.step < 0 or not taken:
        return None
    return _with_length_key(layer, Slice(step=part.step)), ((taken[0], taken[-1] + 1),)


def _length_key(layer: Any) -> Any:
    """The index of axis 1 in an indexing operation: an integer or a `Slice`; None for other operations."""
    if type(layer) is not jl.Operation or layer.function != "get_item" or len(layer.arguments) != 2:
        return None
    first, key = layer.arguments
    return key[1] if first == Input(0) and isinstance(key, tuple) and len(key) > 1 and key[0] == Slice() else None


def _with_length_key(layer: Any, part: Any) -> dict[str, Any]:
    first, (batch, _, *rest) = layer.arguments
    return {"arguments": (first, (batch, part, *rest))}


def _single_index(layer: Any) -> int | None:
    """The index of the one sample that an indexing operation selects from the length, or None."""
    key = _length_key(layer)
    return key if is_integer(key) else None


def _drops_samples(layer: Any) -> bool:
    return type(layer) is jl.Cropping1D or _length_key(layer) not in (None, Slice())


RULES: dict[type, Rule] = {
    **dict.fromkeys((*ELEMENTWISE_ACTIVATIONS, *RANDOM, jl.ActivityRegularization), _samplewise()),
    **dict.fromkeys((jl.Add, jl.Subtract, jl.Average), _samplewise()),
    **dict.fromkeys((jl.Multiply, jl.Maximum, jl.Minimum), _samplewise(lambda layer: "mask" not in layer.inputs)),
    **dict.fromkeys((jl.BatchNormalization, jl.Softmax, jl.LayerNormalization), _samplewise(_over_channels)),
    **dict.fromkeys((jl.Activation, jl.Dense), _samplewise(lambda layer: _is_samplewise(layer.activation))),
    jl.PReLU: _samplewise(lambda layer: 1 in (layer.shared_axes or ())),
    jl.Concatenate: _samplewise(lambda layer: layer.axis in (-1, 2)),
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys((jl.MaxPooling1D, jl.AveragePooling1D), _pooling),
    jl.ZeroPadding1D: _zero_padding,
    jl.Cropping1D: _cropping,
    jl.Operation: _operation,
}


def _with_fixed_start(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
    # With "same" padding and a stride, the number of zeros before a row depends on its length.
    return None if layer.padding == "same" and layer.stride > 1 else _convolution(layer, read, span)


def _of_equal_lengths(rule: Rule) -> Rule:
    """The rule of a layer that works sample by sample, if all its inputs are read over the same range."""

    def equal(layer: Any, read: tuple[Any, ...], span: tuple[int, int]) -> Any:
        found = rule(layer, read, span)
        return found if found and set(found[1]) == {span} else None

    return equal


# A pooling window in which a row ends does not read zeros after this end.
NOT_WITH_LENGTHS = (jl.MaxPooling1D, jl.AveragePooling1D, jl.ZeroPadding1D)
RULES_WITH_LENGTHS: dict[type, Rule] = {
    **{kind: _of_equal_lengths(rule) for kind, rule in RULES.items() if kind not in NOT_WITH_LENGTHS},
    jl.Operation: _of_equal_lengths(_elementwise_operation),
    **dict.fromkeys(CONVOLUTIONS, _with_fixed_start),
    jl.Cropping1D: _cropping,
}


def _convolved(layer: Any, sequences: Sequences) -> Sequences:
    return Window(layer.kernel_size, layer.stride, layer.padding, layer.dilation).output_sequences(sequences)


def _cropped(layer: Any, sequences: Sequences) -> Sequences:
    return sequences.with_counts(lambda counts: counts - sum(layer.ends))


OUTPUT_SEQUENCES: dict[type, Callable[[Any, Sequences], Sequences]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolved),
    jl.Cropping1D: _cropped,
}
"""The positions of the output sequences, for layers where they differ from the positions of the input sequences."""
