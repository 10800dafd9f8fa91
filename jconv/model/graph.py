"""A network as data: a graph of named layers, with pure `init`, `apply` and `reference`.

A `Model` holds no arrays. It is hashable when its layers are, so it may be a static argument of `jax.jit`. `params`
and `state` are dicts, node name to that layer's dict of arrays, with no entry for a layer that has none; two nodes
with the same `params` key share a layer and its arrays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp

from ..checks import check_key
from ..hints import did_you_mean, meant, shown
from ..layers.base import Layer, Shape, name_node_in_errors
from ..layers.nesting import remove_call_options
from ..reference.activations import ACTIVATIONS
from . import masks, streaming, timing, variable_length
from . import summary as model_summary

Tree = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Node:
    """A layer, its name, and the names of the nodes or model inputs that it reads.

    `params` is the key of its arrays in the model's params and state; by default the node's own name.

    >>> from jconv.layers import Activation
    >>> Node("relu", Activation("relu"), ("input",)).key
    'relu'
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    params: str | None = None

    def __post_init__(self) -> None:
        _check_layer(f"node {self.name!r}", self.layer)
        object.__setattr__(self, "inputs", _names(f"inputs of node {self.name!r}", self.inputs))
        if not self.inputs:
            raise ValueError(f"node {self.name!r} must read at least one input, got none")
        if len(self.inputs) > 1 and not self.layer.has_several_inputs:
            kind = type(self.layer).__name__
            raise ValueError(f"node {self.name!r}: {kind} reads one input, got {len(self.inputs)}: {self.inputs}")

    @property
    def key(self) -> str:
        """The key of the node's arrays."""
        return self.name if self.params is None else self.params


@dataclass(frozen=True)
class Model:
    """A graph of layers: `nodes` in an order in which each reads model inputs or earlier nodes.

    `input_shapes`, where they are known, are the shapes of one example of each of the `inputs`, without the batch axis;
    methods that need them then need no argument.

    Raises `ValueError` for names that are used twice, unknown or read before they are there, for a node that nothing
    reads, and for one params key with two different layers. An input may be there that nothing reads.

    >>> from jconv.layers import Add, Conv1D
    >>> nodes = (Node("conv", Conv1D(1, 3, padding="same"), ("x",)), Node("add", Add(), ("x", "conv")))
    >>> model = Model(nodes, inputs=("x",), outputs=("add",))
    >>> params, state = model.init(jax.random.key(0), (10, 1))
    >>> y, state = model.apply(params, state, jax.numpy.ones((2, 10, 1)))
    >>> y.shape
    (2, 10, 1)
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        for field in ("inputs", "outputs"):
            object.__setattr__(self, field, _names(f"{field} of the model", getattr(self, field)))
            if not getattr(self, field):
                raise ValueError(f"{field} of the model must hold at least one name, got none")
        if self.input_shapes is not None:
            object.__setattr__(self, "input_shapes", tuple(tuple(shape) for shape in self.input_shapes))
            if len(self.input_shapes) != len(self.inputs):
                raise ValueError(f"input_shapes must have a shape for each of {self.inputs}, got {self.input_shapes}")
        _check_graph(self)

    def init(self, key: jax.Array, input_shape: Any = None) -> tuple[Tree, Tree]:
        """`(params, state)` as Keras draws them, in float32.

        `input_shape` is the shape of one example, without the batch axis, or for several inputs a dict of them by name,
        or a list or tuple in order; by default
        the model's own `input_shapes`. The draw of a node depends on `key` and the node's position alone. Raises
        `ValueError` for a shape that a node cannot take, naming the node.
        """
        check_key(key)
        shapes = self._shapes(input_shape)
        params: Tree = {}
        state: Tree = {}
        seen: dict[str, tuple[str, Any]] = {}
        for position, node in enumerate(self.nodes):
            shape = _read(node, shapes)
            if node.key in seen:
                _check_shared(node, shape, *seen[node.key])
                continue
            seen[node.key] = node.name, shape
            arrays, own_state = node.layer.init(jax.random.fold_in(key, position), shape)
            params |= {node.key: arrays} if arrays else {}
            state |= {node.key: own_state} if own_state else {}
        return params, state

    def apply(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
        lengths: Any = None,
        segment_ids: Any = None,
    ) -> tuple[Any, Tree]:
        """`(y, state)` of a batch, or with `lengths` or `segment_ids` `((y, extent), state)`.

        `x` is an array with the batch axis first, or for several inputs a dict of them by name, or a list or tuple in
        the order of `inputs`, which for a Keras file is that of Keras's model; `y` likewise an array for a
        single output, else a dict. `key` is for layers that draw in training.

        `lengths`, integers (batch,), are the samples of each row, behind which is padding of any values. `segment_ids`,
        integers (batch, length), have a run of one id for each sequence of a row, and are negative in padding. They
        are those of all inputs or, in a dict, of those that are sequences. Each sequence is then computed as if it were
        alone; `extent` says of `y` what was said of `x`, None where there is no length any more.
        `docs/guides/variable_length.md` has the layout.

        Raises `ValueError` for arrays that do not fit, naming the node, for params or state that the model does not
        have, and for a layer for which lengths have no meaning.
        """
        if lengths is None and segment_ids is None:
            values, state = self.values(params, state, x, training=training, key=key)
            return self.outputs_of(values, x), state
        sequences: dict[str, Any] = {**variable_length.sequences_of(self.named(x), lengths, segment_ids)}

        def call(node: Node, own: tuple[Any, Any], values: Mapping[str, Any], own_key: Any) -> Any:
            read: tuple[Any, Any] = _read(node, values), _read(node, sequences)
            y, after, sequences[node.name] = node.layer.apply_sequences(*own, *read, training=training, key=own_key)
            return y, after

        values, state = self._walk(params, state, x, key, call)
        return (self.outputs_of(values, x), variable_length.extents(sequences, self.outputs)), state

    def values(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[dict[str, jax.Array], Tree]:
        """As `apply`, but every node's value by its name: what class activation maps are made of."""

        def call(node: Node, own: tuple[Any, Any], values: Mapping[str, Any], own_key: Any) -> Any:
            return node.layer.apply(*own, _read(node, values), training=training, key=own_key)

        return self._walk(params, state, x, key, call)

    def _walk(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, key: jax.Array | None, call: Any
    ) -> tuple[dict[str, jax.Array], Tree]:
        """Every node's value and the new state, where `call(node, (params, state), values, key)` computes a node."""
        self._check_keys(params, state)
        values = self.named(x)
        new_state = {name: dict(arrays) for name, arrays in state.items()}
        for position, node in enumerate(self.nodes):
            own_key = None if key is None else jax.random.fold_in(key, position)
            own = params.get(node.key, {}), new_state.get(node.key, {})
            with name_node_in_errors(node.name):
                values[node.name], after = call(node, own, values, own_key)
            new_state |= {node.key: after} if after else {}
        return {node.name: values[node.name] for node in self.nodes}, new_state

    def reference(self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False) -> Any:
        """`apply`'s `y` in NumPy, in float64, or complex128 where an argument is complex."""
        return self.outputs_of(self.reference_values(params, state, x, training=training), x)

    def reference_values(
        self, params: Mapping[str, Any], state: Mapping[str, Any], x: Any, *, training: bool = False
    ) -> dict[str, Any]:
        """As `reference`, but every node's value by its name."""
        self._check_keys(params, state)
        values = self.named(x)
        for node in self.nodes:
            own = params.get(node.key, {}), state.get(node.key, {})
            with name_node_in_errors(node.name):
                values[node.name] = node.layer.reference(*own, _read(node, values), training=training)
        return {node.name: values[node.name] for node in self.nodes}

    def outputs_of(self, values: Mapping[str, Any], x: Any) -> Any:
        """`apply`'s `y` of the `values` of all nodes for an input `x`: an array, or for several outputs a dict."""
        values = {**self.named(x), **values}
        named = {name: values[name] for name in self.outputs}
        return named[self.outputs[0]] if len(self.outputs) == 1 else named

    def stream_init(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        batch_shape: Sequence[int],
        *,
        input_shape: Any = None,
        dtype: Any = jnp.float32,
        form: str = "auto",
        chunk: int = 1,
        slots: bool = False,
    ) -> streaming.Stream:
        """What the network keeps before the first chunk; docs/guides/stream.md says what that is.

        Args:
          params, state: those of `apply`.
          batch_shape: `(batch,)`.
          input_shape: as in `init`; by default the model's own.
          dtype: of the inputs, or a dict of them by input name.
          form, chunk, slots: those of `jconv.streaming.init`; `chunk` counts samples of the inputs.

        Raises:
          ValueError: naming the node and why, for a layer that needs the whole sequence.

        >>> from jconv.layers import Conv1D, GlobalAveragePooling1D
        >>> model = sequential([Conv1D(4, 3, padding="causal"), GlobalAveragePooling1D()], input_shape=(None, 1))
        >>> params, state = model.init(jax.random.key(0))
        >>> stream = model.stream_init(params, state, (2,))
        >>> y, stream = model.stream_step(params, state, stream, jnp.ones((2, 10, 1)))
        >>> y.shape
        (2, 4)
        """
        self._check_keys(params, state)
        options = {"input_shape": input_shape, "dtype": dtype, "form": form, "chunk": chunk, "slots": slots}
        return streaming.begin(self, params, state, batch_shape, **options)

    def stream_step(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        stream: streaming.Stream,
        chunk: Any,
        *,
        last: bool = False,
        slots: Any = None,
    ) -> tuple[Any, streaming.Stream]:
        """`(y, stream)`: the samples of `apply`'s output that are whole with this chunk.

        `chunk` (batch, samples, ...), or for several inputs a dict, list or tuple of them, may have any number of
        samples; `last` says that the sequence ends with it, and all outputs come that are left. A layer that gives one
        value for a whole sequence gives that of all samples so far. Where the network has the channels first, samples
        are along the last axis of chunks and outputs. `slots` is that of `jconv.streaming.step`. Raises `ValueError`
        for arrays that do not fit, naming the node, for a step after the last, and for one with `slots` after which
        outputs would wait for another number of samples.
        """
        self._check_keys(params, state)
        return streaming.step(self, params, state, stream, chunk, last=last, slots=slots)

    @property
    def latency(self) -> Fraction:
        """How many input samples the outputs of a stream trail behind, exactly; the most of all outputs.

        Raises `ValueError`, naming the node, where a layer needs the whole sequence.
        """
        return timing.latency(self)

    @property
    def output_ratio(self) -> Fraction | dict[str, Fraction]:
        """Output samples for each input sample, 0 for a value of all samples so far; a dict for several outputs.

        Raises `ValueError`, naming the node, where a layer needs the whole sequence.
        """
        found = timing.ratios(self)
        named = {name: found[name] or Fraction(0) for name in self.outputs}
        return named[self.outputs[0]] if len(named) == 1 else named

    @property
    def receptive_field(self) -> int | None:
        """Input samples that an output sample spans, the most of all outputs; None for the whole length."""
        fields = model_summary.receptive_fields(self) | dict.fromkeys(self.inputs, 1)
        found = [fields[name] for name in self.outputs]
        known = [field for field in found if field is not None]
        return max(known) if len(known) == len(found) else None

    def output_shapes(self, input_shape: Any = None) -> dict[str, Shape]:
        """Each node's output shape for one example, by the node's name."""
        shapes = self._shapes(input_shape)
        return {node.name: shapes[node.name] for node in self.nodes}

    def summary(self, input_shape: Any = None, *, batch: int | None = None, width: int | None = None) -> str:
        """A table to print: each node's layer, output shape, number of arrays' elements, receptive field and FLOPs.

        `reads` is empty where a node reads the one above. `params` counts state too, as Keras does. `sees` is the
        number of input samples that one output sample spans along the longest path, `"all"` after a layer that sees the
        whole length. FLOPs are for one example, a multiply-add counted as 2, and `"?"` where a length is not known.
        With a `batch` there is a column of what computes each convolution here, forward and in float32. Where the
        table is wider than `width`, long cells go on in the line below.
        """
        return model_summary.summary(self, input_shape, batch=batch, width=width)

    def _shapes(self, input_shape: Any) -> dict[str, Any]:
        shapes = self.named_shapes(input_shape)
        for shape in shapes.values():
            if not isinstance(shape, (tuple, list)):
                raise ValueError(f"input_shape must be a tuple, such as (length, channels), got {shown(shape)}")
        shapes = {name: tuple(shape) for name, shape in shapes.items()}
        for node in self.nodes:
            with name_node_in_errors(node.name):
                shapes[node.name] = node.layer.output_shape(_read(node, shapes))
        return shapes

    def named_shapes(self, input_shape: Any = None) -> dict[str, Any]:
        """`input_shape`, or the model's own, as a dict by input name. Raises `ValueError` where there is neither."""
        if input_shape is None and self.input_shapes is not None:
            return dict(zip(self.inputs, self.input_shapes, strict=True))
        if input_shape is None:
            raise ValueError("input_shape must be given: the model does not say the shapes of its inputs")
        named = self.named(input_shape, "input_shape")
        for name, shape in named.items():
            if not isinstance(shape, (list, tuple)):
                raise ValueError(f"input_shape must have a tuple of sizes for {name!r}, got {shape!r}")
        return named

    def named(self, x: Any, argument: str = "x") -> dict[str, Any]:
        """`x` as a dict by input name: it is one, or one value, or for several inputs a list or tuple in their order.

        Raises `ValueError`, naming the `argument`, for other names or another number of values than there are inputs.
        """
        if not isinstance(x, Mapping):
            if len(self.inputs) == 1:
                return {self.inputs[0]: x}
            if not isinstance(x, (list, tuple)) or len(x) != len(self.inputs):
                got = f"{len(x)}" if isinstance(x, (list, tuple)) else type(x).__name__
                wanted = ", ".join(map(repr, self.inputs))
                raise ValueError(f"{argument} must be a dict, or a list or tuple in order, of {wanted}, got {got}")
            return dict(zip(self.inputs, x, strict=True))
        if set(x) != set(self.inputs):
            raise ValueError(f"{argument} must be a dict with {_listed(self.inputs)}, got {_listed(x)}")
        return dict(x)

    def _check_keys(self, params: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        known = {node.key for node in self.nodes}
        for word, tree in (("params", params), ("state", state)):
            if not isinstance(tree, Mapping):
                raise ValueError(f"{word} must be a dict by node name, got {type(tree).__name__}")
            if not known.issuperset(tree):
                raise ValueError(f"{word} has {_listed(set(tree) - known)}; the model's nodes are {_listed(known)}")


def sequential(
    layers: Iterable[Layer], *, names: Sequence[str] | None = None, input_shape: Shape | None = None
) -> Model:
    """A chain of layers, from the input `"input"` to the last; `input_shape`, where it is known, is one example's.

    Nodes are named as Keras names layers, `"conv1d"`, `"conv1d_1"`, ..., unless `names` has one for each layer. As in
    Keras, the mask of a `Masking` layer, or of an `Embedding` with `mask_zero`, is passed on to the layers that read
    masks, up to one that ends it; a node `"input/mask"` then makes it. Raises `ValueError` for no layer at all and for
    a wrong number of names.

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
        _check_layer(f"layer {position} of sequential", layer)
    if not layers:
        raise ValueError("sequential needs at least one layer, got none")
    if names is None:
        names = _keras_names(layers)
    if len(names) != len(layers):
        raise ValueError(f"names must have one name for each of {len(layers)} layers, got {len(names)}")
    nodes = tuple(Node(*node) for node in masks.chained(layers, names))
    return Model(nodes, ("input",), (names[-1],), None if input_shape is None else (input_shape,))


def _check_layer(name: str, layer: Any) -> None:
    """Raise `ValueError` for what is no layer, and say which one may be meant."""
    if isinstance(layer, Layer):
        return
    if isinstance(layer, type):
        hint = f"{layer.__name__}(...)" if issubclass(layer, Layer) else None
    else:
        activation = meant(layer if isinstance(layer, str) else getattr(layer, "__name__", None), ACTIVATIONS)
        hint = None if activation is None else f"Activation({activation!r})"
    raise ValueError(f"{name} must be a layer of jconv.layers, got {shown(layer)}{did_you_mean(hint)}")


def _keras_names(layers: Sequence[Layer]) -> list[str]:
    counts: Counter[str] = Counter()
    names = []
    for layer in layers:
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        names.append(f"{name}_{counts[name]}" if counts[name] else name)
        counts[name] += 1
    return names


def _check_graph(model: Model) -> None:
    later = {node.name for node in model.nodes}
    known = set(model.inputs)
    if len(known) != len(model.inputs):
        raise ValueError(f"inputs of the model must differ, got {model.inputs}")
    layers: dict[str, Layer] = {}
    for node in model.nodes:
        for name in node.inputs:
            if name not in known:
                why = "comes later or is itself; nodes must be in order" if name in later else "does not exist"
                raise ValueError(f"node {node.name!r} reads {name!r}, which {why}")
        if node.name in known:
            raise ValueError(f"the name {node.name!r} is used twice; names of nodes and inputs must differ")
        if remove_call_options(layers.setdefault(node.key, node.layer)) != remove_call_options(node.layer):
            raise ValueError(
                f"node {node.name!r} shares params {node.key!r} with a different layer, {layers[node.key]}"
            )
        known.add(node.name)
    for name in model.outputs:
        if name not in known:
            raise ValueError(f"output {name!r} does not exist; the nodes are {_listed(later)}")
    if len(set(model.outputs)) != len(model.outputs):
        raise ValueError(f"outputs of the model must differ, got {model.outputs}")
    unread = later - {name for node in model.nodes for name in node.inputs} - set(model.outputs)
    if unread:
        raise ValueError(f"nothing reads {_listed(unread)}; leave it out or make it an output")


def _check_shared(node: Node, shape: Any, first: str, first_shape: Any) -> None:
    layer = node.layer
    for shapes in (layer.param_shapes, layer.state_shapes):
        if shapes(shape) != shapes(first_shape):
            raise ValueError(
                f"node {node.name!r} shares params {node.key!r} with {first!r}, but its input of shape {shape} needs "
                f"{shapes(shape)} and that of shape {first_shape} needs {shapes(first_shape)}"
            )


def _read(node: Node, values: Mapping[str, Any]) -> Any:
    read = tuple(values[name] for name in node.inputs)
    return read if node.layer.has_several_inputs else read[0]


def _names(what: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{what} must be a tuple of names, got {names!r}")
    return tuple(names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "nothing"
