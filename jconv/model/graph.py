"""`Model`: a graph of layers with pure functions `init`, `apply` and `reference`, and with streaming.

A `Model` contains no arrays. It is hashable if its layers are, so it may be a static argument of `jax.jit`. `params`
and `state` are dicts from node name to that layer's dict of arrays, without an entry for a layer that has none. Nodes
with the same `params` key share a layer and its arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..checks import check_key
from ..hints import format_names
from ..layers.base import Key, Params, State, name_node_in_errors
from ..primitive.materialize import materialize
from ..streaming.buffers import StreamOptions
from . import needed, streaming, timing, variable_length
from . import summary as model_summary
from .nodes import LayerGraph, Node, Tree, unwrap_single

Call = Callable[[Node, tuple[Any, Any], Mapping[str, Any], Any], Any]
"""`call(node, (params, state), values, key)` returns a node's output and new state."""


@dataclass(frozen=True)
class Model(LayerGraph):
    """A graph of layers.

    Args:
      nodes: in an order in which each node reads model inputs or earlier nodes.
      inputs: names of the model's inputs. An input that no node reads is allowed.
      outputs: names of the nodes or inputs that `apply` returns.
      input_shapes: the shapes of one example of each input, without the batch axis, if they are known; methods that
        need shapes then need no argument.

    Raises:
      ValueError: for a name that is used twice, does not exist or is read before it is computed, for a node that
        nothing reads, and for one params key with two different layers.

    >>> from jconv.layers import Add, Conv1D
    >>> nodes = (Node("conv", Conv1D(1, 3, padding="same"), ("x",)), Node("add", Add(), ("x", "conv")))
    >>> model = Model(nodes, inputs=("x",), outputs=("add",))
    >>> params, state = model.init(jax.random.key(0), (10, 1))
    >>> y, state = model.apply(params, state, jax.numpy.ones((2, 10, 1)))
    >>> y.shape
    (2, 10, 1)
    """

    def init(self, key: jax.Array, input_shape: Any = None) -> tuple[Tree, Tree]:
        """Initialize the arrays from the same distributions as Keras, in float32.

        Args:
          key: a `jax.random.key`. The random values of a node depend only on the key and the node's position.
          input_shape: the shape of one example, without the batch axis; for several inputs a dict by name, or a list or
            tuple in order. By default the model's `input_shapes`.

        Returns:
          `(params, state)`.

        Raises:
          ValueError: for a shape that a node does not support, with the node's name, and if no shape is known.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> params, state = sequential([Conv1D(4, 3)]).init(jax.random.key(0), (10, 2))
        >>> params["conv1d"]["kernel"].shape, state
        ((3, 2, 4), {})
        """
        check_key(key)
        return self._init(key, self.all_shapes(input_shape))

    def _init(self, key: jax.Array, shapes: Mapping[str, Any]) -> tuple[Tree, Tree]:
        params: Tree = {}
        state: Tree = {}
        first: dict[str, Node] = {}
        for position, node in enumerate(self.nodes):
            if first.setdefault(node.key, node) is not node:
                _check_shared(node, first[node.key], shapes)
                continue
            arrays, own_state = node.layer.init(jax.random.fold_in(key, position), node.select(shapes))
            params |= {node.key: arrays} if arrays else {}
            state |= {node.key: own_state} if own_state else {}
        return params, state

    def apply(
        self,
        params: Params,
        state: State,
        x: Any,
        *,
        training: bool = False,
        key: Key = None,
        lengths: Any = None,
        segment_ids: Any = None,
    ) -> tuple[Any, Tree]:
        """Compute the outputs for a batch.

        With `lengths` or `segment_ids`, each sequence is computed as if it were alone. Both apply to every input, or
        are dicts by the names of those inputs that are sequences. `docs/guides/variable_length.md` describes the
        layout.

        Args:
          params, state: from `init` or from a Keras file.
          x: an array with the batch axis first; for several inputs a dict by name, or a list or tuple in the order of
            `inputs`, which for a Keras file is the order of Keras's model.
          training: whether layers behave as in training.
          key: a `jax.random.key`, which layers with random numbers need in training.
          lengths: the number of samples of each row, integers (batch,); the rest of the row is padding of any value.
          segment_ids: integers (batch, length): each sequence in a row is a run of one id; padding has negative ids.

        Returns:
          `(y, state)`, where `y` is an array, or a dict by name for several outputs. With `lengths` or `segment_ids`
          `((y, extent), state)`, where `extent` is the `lengths` or `segment_ids` of `y`, and None for an output
          without a length.

        Raises:
          ValueError: for arrays of a wrong shape, with the node's name, for params or state that the model does not
            have, and for lengths in a layer that does not support them.

        >>> from jconv.layers import Conv1D, GlobalAveragePooling1D
        >>> from jconv.model import sequential
        >>> model = sequential([Conv1D(1, 1), GlobalAveragePooling1D()])
        >>> params = {"conv1d": {"kernel": jnp.ones((1, 1, 1)), "bias": jnp.zeros(1)}}
        >>> x = jnp.array([[[1.0], [2.0], [9.0]]])
        >>> model.apply(params, {}, x)[0].tolist()
        [[4.0]]
        >>> (y, extent), _ = model.apply(params, {}, x, lengths=jnp.array([2]))
        >>> y.tolist(), extent
        ([[1.5]], None)
        """
        if lengths is None and segment_ids is None:
            parts = needed.find_parts(self, x, training)
            values, state = self._apply_nodes(params, state, x, key, parts, partial(needed.call_part, parts, training))
            return self.outputs_of(values, x), state
        sequences: dict[str, Any] = {**variable_length.sequences_of(self.named(x), lengths, segment_ids)}
        # In a packed row, sequences begin and end anywhere, so a crop removes no range of the row.
        parts = needed.find_parts(self, x, training, with_lengths=True) if segment_ids is None else {}

        def call(node: Node, arrays: tuple[Any, Any], values: Mapping[str, Any], own_key: Any) -> Any:
            y, new_state, sequences[node.name] = needed.call_part_with_lengths(
                parts, training, node, arrays, values, sequences, own_key
            )
            return y, new_state

        values, state = self._apply_nodes(params, state, x, key, parts, call)
        return (self.outputs_of(values, x), variable_length.extents(sequences, self.outputs)), state

    def values(
        self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None
    ) -> tuple[dict[str, jax.Array], Tree]:
        """Like `apply`, but returns the outputs of all nodes by name, for example for class activation maps.

        >>> from jconv.layers import Dense, ReLU
        >>> from jconv.model import sequential
        >>> model = sequential([Dense(1, use_bias=False), ReLU()])
        >>> values, _ = model.values({"dense": {"kernel": -jnp.ones((1, 1))}}, {}, jnp.ones((1, 1)))
        >>> {name: value.tolist() for name, value in values.items()}
        {'dense': [[-1.0]], 're_lu': [[0.0]]}
        """
        return self._apply_nodes(params, state, x, key, {}, partial(needed.call_part, {}, training))

    def _apply_nodes(
        self, params: Params, state: State, x: Any, key: jax.Array | None, parts: needed.PartialLayers, call: Call
    ) -> tuple[dict[str, jax.Array], Tree]:
        """Every node's output and the new state, computed by `call`. Values that are read in parts are materialized."""
        self._check_keys(params, state)
        values, shared = self.named(x), needed.partly_read_nodes(self, parts)
        new_state = {name: dict(arrays) for name, arrays in state.items()}
        for position, node in enumerate(self.nodes):
            own_key = None if key is None else jax.random.fold_in(key, position)
            arrays = params.get(node.key, {}), new_state.get(node.key, {})
            with name_node_in_errors(node.name):
                y, after = call(node, arrays, values, own_key)
            values[node.name] = materialize(y) if node.name in shared else y
            new_state |= {node.key: after} if after else {}
        return {node.name: values[node.name] for node in self.nodes}, new_state

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply`'s `y`, computed in NumPy in float64, or in complex128 if an argument is complex.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> params = {"conv1d": {"kernel": jnp.ones((2, 1, 1)), "bias": jnp.zeros(1)}}
        >>> y = sequential([Conv1D(1, 2)]).reference(params, {}, jnp.ones((1, 3, 1)))
        >>> y.tolist(), str(y.dtype)
        ([[[2.0], [2.0]]], 'float64')
        """
        return self.outputs_of(self.reference_values(params, state, x, training=training), x)

    def reference_values(self, params: Params, state: State, x: Any, *, training: bool = False) -> dict[str, Any]:
        """Like `reference`, but returns the outputs of all nodes by name."""
        self._check_keys(params, state)
        values = self.named(x)
        for node in self.nodes:
            arrays = params.get(node.key, {}), state.get(node.key, {})
            with name_node_in_errors(node.name):
                values[node.name] = node.layer.reference(*arrays, node.select(values), training=training)
        return {node.name: values[node.name] for node in self.nodes}

    def outputs_of(self, values: Mapping[str, Any], x: Any) -> Any:
        """`apply`'s `y` from the `values` of all nodes and the input `x`: an array, or a dict for several outputs."""
        values = {**self.named(x), **values}
        return unwrap_single({name: values[name] for name in self.outputs})

    def stream_init(
        self,
        params: Params,
        state: State,
        batch_shape: Sequence[int],
        *,
        input_shape: Any = None,
        dtype: Any = jnp.float32,
        form: str = "auto",
        chunk: int = 1,
        slots: bool = False,
    ) -> streaming.Stream:
        """The initial state of a stream; docs/guides/stream.md describes it.

        Args:
          params, state: as in `apply`.
          batch_shape: `(batch,)`.
          input_shape: as in `init`; by default the model's own.
          dtype: of the inputs, or a dict by input name.
          form, chunk, slots: as in `jconv.streaming.init`; `chunk` counts samples of the inputs.

        Returns:
          A pytree of arrays, for `stream_step`.

        Raises:
          ValueError: for a layer that needs the complete sequence, with the node's name and the reason.

        >>> from jconv.layers import Conv1D, GlobalAveragePooling1D
        >>> from jconv.model import sequential
        >>> model = sequential([Conv1D(4, 3, padding="causal"), GlobalAveragePooling1D()], input_shape=(None, 1))
        >>> params, state = model.init(jax.random.key(0))
        >>> stream = model.stream_init(params, state, (2,))
        >>> y, stream = model.stream_step(params, state, stream, jnp.ones((2, 10, 1)))
        >>> y.shape
        (2, 4)
        """
        self._check_keys(params, state)
        options = StreamOptions(form, chunk, slots)
        return streaming.init(self, params, state, batch_shape, input_shape, dtype, options)

    def stream_step(
        self,
        params: Params,
        state: State,
        stream: streaming.Stream,
        chunk: Any,
        *,
        last: bool = False,
        slots: Any = None,
    ) -> tuple[Any, streaming.Stream]:
        """The samples of `apply`'s output that a chunk completes.

        Args:
          params, state: as in `apply`.
          stream: from `stream_init` or the previous step.
          chunk: (batch, samples, ...), or (batch, channels, samples) if the network is channels-first, with any number
            of samples; for several inputs a dict, list or tuple.
          last: whether the sequence ends with this chunk; all remaining outputs are then returned.
          slots: as in `jconv.streaming.step`.

        Returns:
          `(y, stream)`. For a layer that returns one value per sequence, this is the value for all samples so far.

        Raises:
          ValueError: for arrays of a wrong shape, with the node's name, for a step after the last, and for a step with
            `slots` after which the next outputs would need another number of samples than before.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> model = sequential([Conv1D(1, 2, padding="causal", use_bias=False)], input_shape=(None, 1))
        >>> params = {"conv1d": {"kernel": jnp.ones((2, 1, 1))}}
        >>> y, stream = model.stream_step(params, {}, model.stream_init(params, {}, (1,)), jnp.array([[[1.0], [2.0]]]))
        >>> y.ravel().tolist(), model.stream_step(params, {}, stream, jnp.array([[[3.0]]]))[0].ravel().tolist()
        ([1.0, 3.0], [5.0])
        """
        self._check_keys(params, state)
        return streaming.step(self, params, state, stream, chunk, last=last, slots=slots)

    @property
    def latency(self) -> Fraction:
        """The largest delay of a stream's outputs in input samples, as an exact fraction.

        Raises `ValueError`, with the node's name, if a layer needs the complete sequence.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> sequential([Conv1D(1, 5, padding="same"), Conv1D(1, 3)]).latency
        Fraction(4, 1)
        """
        return timing.latency(self)

    @property
    def output_ratio(self) -> Fraction | dict[str, Fraction]:
        """Output samples per input sample, 0 for an output without a length; a dict by name for several outputs.

        Raises `ValueError`, with the node's name, if a layer needs the complete sequence.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> sequential([Conv1D(1, 5, stride=4)]).output_ratio
        Fraction(1, 4)
        """
        ratios = timing.ratios(self)
        return unwrap_single({name: ratios[name] or Fraction(0) for name in self.outputs})

    @property
    def receptive_field(self) -> int | None:
        """The largest number of input samples that one output sample depends on; None for the complete length.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> sequential([Conv1D(1, 3, stride=2), Conv1D(1, 3)]).receptive_field
        7
        """
        fields = model_summary.receptive_fields(self) | dict.fromkeys(self.inputs, 1)
        sizes = [fields[name] for name in self.outputs]
        return None if None in sizes else max(size for size in sizes if size is not None)

    def summary(self, input_shape: Any = None, *, batch: int | None = None, width: int | None = None) -> str:
        """A table of the nodes: layer, output shape, parameter count, receptive field and FLOPs of one example.

        The column `reads` is empty for a node that reads the one above. `params` includes the state, as in Keras.
        `sees` is the receptive field along the longest path in input samples, or `"all"`. A multiply-add counts as 2
        FLOPs; `"?"` stands for a length that is not known.

        Args:
          input_shape: as in `init`.
          batch: adds a column with the algorithm of each convolution's forward pass in float32, for this batch size.
          width: characters per line, beyond which long cells are wrapped.

        Raises:
          ValueError: for a shape that a node does not support, with the node's name, and if no shape is known.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> print(sequential([Conv1D(4, 3)]).summary((10, 2)))
        node    layer         reads  output   params  sees  FLOPs
        ---------------------------------------------------------
        input   input                (10, 2)
        conv1d  Conv1D(4, 3)         (8, 4)       28     3    384
        ---------------------------------------------------------
        params 28 (28 trained, 0 state)
        FLOPs 384 for one example
        """
        shapes = self.all_shapes(input_shape)
        params, state = jax.eval_shape(lambda key: self._init(key, shapes), jax.random.key(0))
        return model_summary.summary(self, params, state, shapes, batch=batch, width=width)

    def _check_keys(self, params: Params, state: State) -> None:
        known = {node.key for node in self.nodes}
        for word, tree in (("params", params), ("state", state)):
            if not isinstance(tree, Mapping):
                raise ValueError(f"{word} must be a dict by node name, got {type(tree).__name__}")
            unknown = set(tree) - known
            if unknown:
                raise ValueError(f"{word} has {format_names(unknown)}; the model's nodes are {format_names(known)}")


def _check_shared(node: Node, first: Node, shapes: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless two nodes with the same layer need arrays of the same shapes."""
    shape, first_shape = node.select(shapes), first.select(shapes)
    for array_shapes in (node.layer.param_shapes, node.layer.state_shapes):
        if array_shapes(shape) != array_shapes(first_shape):
            raise ValueError(
                f"node {node.name!r} shares params {node.key!r} with {first.name!r}, but an input of shape {shape} "
                f"needs {array_shapes(shape)}, and an input of shape {first_shape} needs {array_shapes(first_shape)}"
            )
