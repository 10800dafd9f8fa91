"""A graph of named layers as data: its nodes, inputs, outputs and shapes, without any computation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..hints import did_you_mean, format_names, meant, shown
from ..layers.base import Layer, Shape, name_node_in_errors
from ..layers.dense import Embedding
from ..layers.nesting import remove_call_options
from ..reference.activations import ACTIVATIONS

Tree = dict[str, dict[str, Any]]
"""Arrays by node key and name."""

TRIAL_LENGTHS = tuple(2**n for n in range(6, 21))
"""The lengths that are tried, in this order, for a model with an unknown length."""


@dataclass(frozen=True)
class Node:
    """A layer with a name, and the names of the nodes or model inputs that it reads.

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
        check_layer(f"node {self.name!r}", self.layer)
        object.__setattr__(self, "inputs", _as_names(f"inputs of node {self.name!r}", self.inputs))
        if not self.inputs:
            raise ValueError(f"node {self.name!r} must read at least one input, got none")
        if len(self.inputs) > 1 and not self.layer.has_several_inputs:
            kind = type(self.layer).__name__
            raise ValueError(f"node {self.name!r}: {kind} reads one input, got {len(self.inputs)}: {self.inputs}")

    @property
    def key(self) -> str:
        """The key of the node's arrays."""
        return self.name if self.params is None else self.params

    def select(self, values: Mapping[str, Any]) -> Any:
        """The node's inputs among `values`: one value, or a tuple for a layer with several inputs."""
        selected = tuple(values[name] for name in self.inputs)
        return selected if self.layer.has_several_inputs else selected[0]


@dataclass(frozen=True)
class LayerGraph:
    """The fields of a `Model`, described there. Raises `ValueError` unless they form a graph."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        for field in ("inputs", "outputs"):
            names = _as_names(f"{field} of the model", getattr(self, field))
            object.__setattr__(self, field, names)
            if not names:
                raise ValueError(f"{field} of the model must contain at least one name, got none")
            if len(set(names)) != len(names):
                raise ValueError(f"{field} of the model must differ, got {names}")
        if self.input_shapes is not None:
            object.__setattr__(self, "input_shapes", tuple(tuple(shape) for shape in self.input_shapes))
            if len(self.input_shapes) != len(self.inputs):
                raise ValueError(f"input_shapes must have a shape for each of {self.inputs}, got {self.input_shapes}")
        self._check_nodes()
        self._check_outputs()

    def _check_nodes(self) -> None:
        names = {node.name for node in self.nodes}
        known = set(self.inputs)
        layers: dict[str, Layer] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name not in known:
                    why = "is not an earlier node; nodes must be in order" if name in names else "does not exist"
                    raise ValueError(f"node {node.name!r} reads {name!r}, which {why}")
            if node.name in known:
                raise ValueError(f"the name {node.name!r} is used twice; names of nodes and inputs must differ")
            if remove_call_options(layers.setdefault(node.key, node.layer)) != remove_call_options(node.layer):
                raise ValueError(
                    f"node {node.name!r} shares params {node.key!r} with a different layer, {layers[node.key]}"
                )
            known.add(node.name)

    def _check_outputs(self) -> None:
        names = {node.name for node in self.nodes}
        for name in self.outputs:
            if name not in names and name not in self.inputs:
                raise ValueError(f"output {name!r} does not exist; the nodes are {format_names(names)}")
        unread = names - {name for node in self.nodes for name in node.inputs} - set(self.outputs)
        if unread:
            raise ValueError(f"nothing reads {format_names(unread)}; leave it out or make it an output")

    def named(self, x: Any, argument: str = "x") -> dict[str, Any]:
        """`x` as a dict by input name.

        Args:
          x: a dict by input name; for a single input its value; for several inputs also a list or tuple in order.
          argument: the name of `x` in errors.

        Raises:
          ValueError: for other names, or another number of values than there are inputs.
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
            raise ValueError(f"{argument} must be a dict with {format_names(self.inputs)}, got {format_names(x)}")
        return dict(x)

    def named_shapes(self, input_shape: Any = None) -> dict[str, Any]:
        """`input_shape`, or the model's own, as a dict by input name. Raises `ValueError` if there is neither."""
        if input_shape is None and self.input_shapes is not None:
            return dict(zip(self.inputs, self.input_shapes, strict=True))
        if input_shape is None:
            raise ValueError("input_shape must be given: the model has no input_shapes")
        named = self.named(input_shape, "input_shape")
        for name, shape in named.items():
            if not isinstance(shape, (list, tuple)):
                raise ValueError(f"input_shape must have a tuple of sizes for {name!r}, got {shape!r}")
        return named

    def all_shapes(self, input_shape: Any = None) -> dict[str, Any]:
        """The shape of each input and of each node's output for one example."""
        shapes: dict[str, Any] = {name: tuple(shape) for name, shape in self.named_shapes(input_shape).items()}
        for node in self.nodes:
            with name_node_in_errors(node.name):
                shapes[node.name] = node.layer.output_shape(node.select(shapes))
        return shapes

    def output_shapes(self, input_shape: Any = None) -> dict[str, Shape]:
        """Each node's output shape for one example, by the node's name."""
        shapes = self.all_shapes(input_shape)
        return {node.name: shapes[node.name] for node in self.nodes}

    def accepted_shapes(self, input_shape: Any = None) -> dict[str, tuple[int, ...]]:
        """The shape of one example of each input, with the first length in `TRIAL_LENGTHS` that the model accepts.

        Args:
          input_shape: as in `init`, with None for each unknown size.

        Raises:
          ValueError: if the model accepts none of the lengths 64, 128, 256, ..., 1,048,576, and if no shape is known.

        >>> from jconv.layers import Conv1D
        >>> from jconv.model import sequential
        >>> sequential([Conv1D(4, 100)], input_shape=(None, 2)).accepted_shapes()
        {'input': (128, 2)}
        """
        shapes, reason = self.named_shapes(input_shape), None
        for length in TRIAL_LENGTHS:
            trial = fill_sizes(shapes, length)
            reason = self.why_refused(trial)
            if reason is None:
                return trial
        raise ValueError(f"the model accepts no length of 64, 128, 256, ..., 1048576; the last error: {reason}")

    def why_refused(self, input_shape: Any) -> str | None:
        """The reason why the model does not accept inputs of this shape; None if it does."""
        try:
            self.all_shapes(input_shape)
        except ValueError as error:
            return str(error)
        return None

    def integer_inputs(self) -> dict[str, int]:
        """The inputs that an embedding reads, by name, with the number of rows of the smallest such embedding.

        >>> from jconv.layers import Embedding
        >>> from jconv.model import sequential
        >>> sequential([Embedding(20, 8)]).integer_inputs()
        {'input': 20}
        """
        rows: dict[str, int] = {}
        for node in reversed(self.nodes):
            limit = _embedding_rows(node.layer) or rows.get(node.name)
            if limit:
                rows |= {name: min(limit, rows.get(name, limit)) for name in node.inputs}
        return {name: rows[name] for name in self.inputs if name in rows}


def unwrap_single(outputs: dict[str, Any]) -> Any:
    """The value of a single output, or all outputs by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def fill_sizes(shapes: Mapping[str, Any], length: int) -> dict[str, tuple[int, ...]]:
    """The shapes with `length` for each unknown size.

    >>> fill_sizes({"x": (None, 3), "y": (5,)}, 100)
    {'x': (100, 3), 'y': (5,)}
    """
    return {name: tuple(length if size is None else size for size in shape) for name, shape in shapes.items()}


def _embedding_rows(layer: Any) -> int | None:
    while not isinstance(layer, Embedding) and isinstance(getattr(layer, "layer", None), Layer):
        layer = layer.layer
    return layer.input_dim if isinstance(layer, Embedding) else None


def check_layer(name: str, layer: Any) -> None:
    """Raise `ValueError` unless `layer` is a layer, if possible with a suggestion."""
    if isinstance(layer, Layer):
        return
    if isinstance(layer, type):
        hint = f"{layer.__name__}(...)" if issubclass(layer, Layer) else None
    else:
        activation = meant(layer if isinstance(layer, str) else getattr(layer, "__name__", None), ACTIVATIONS)
        hint = None if activation is None else f"Activation({activation!r})"
    raise ValueError(f"{name} must be a layer of jconv.layers, got {shown(layer)}{did_you_mean(hint)}")


def _as_names(what: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{what} must be a tuple of names, got {names!r}")
    return tuple(names)
