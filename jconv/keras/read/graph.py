"""The models of a config as one flat graph of nodes: Sequential and Functional models, nested models, shared layers.

The nodes of a nested model are added where it is called, with names such as `outer/inner`. If it is called twice, its
nodes are added twice and share their arrays. The tree of `ModelPart`s, in the config's order, says where arrays are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...layers import Activation, Layer
from ...model.graph import Model, Node
from ..files.errors import KerasFileError, error_context
from ..files.limits import CallCount
from ..kinds.config import Config, anything, as_list, optional, text, values_in
from ..kinds.kind import OTHER
from ..layers import NestedModel
from .builder import GraphBuilder
from .calls import Call, Ref, flatten, named_leaves, read_refs, refs_in
from .functional import Caller, FunctionalReader, Scope
from .layer import MODELS, SEQUENTIAL, has_other_types, read_entry, read_layer
from .layer_call import LayerCaller, mode_of
from .loaded_model import BuiltModel, InnerCall, LoadedModel, input_layers, input_type
from .parts import FolderNames, ModelPart
from .rewrite import is_pruned


def build(
    config: Mapping[str, Any],
    custom: Mapping[str, Layer | type[Layer]],
    *,
    keras_2: bool = False,
    input_shape: Sequence[int | None] | None = None,
) -> BuiltModel:
    """The model of a complete config; with `keras_2`, masks are propagated as in Keras 2.

    `input_shape` is the shape of one example, for a Sequential model without a shape.

    Raises `KerasFileError` for a config that is not a model, or has something that jconv does not.
    """
    entry = Config(dict(config), "config")
    class_name = entry.get("class_name", text)
    if class_name not in MODELS:
        entry.fail(
            f"the file contains a {class_name!a}; only Sequential and Functional models say in their file what "
            "they compute; if yours was made from inputs and outputs, save keras.Model(model.inputs, model.outputs)"
        )
    _, name, _, inner = read_entry(entry.values, "config")
    # Models and layers may be nested deeper than Python's stack.
    with error_context("config"):
        reader = _GraphReader(custom, has_other_types(inner), GraphBuilder(CallCount(), keras_2))
        root = ModelPart(name, "", "config")
        reader.input_shape = None if input_shape is None else [None, *input_shape]
        outputs = reader.model(class_name, inner, Scope(root), None)
        if reader.input_shape is not None:
            entry.fail("input_shape is for a Sequential model that has none of its own, and this one has")
        return BuiltModel(reader.complete(outputs, root), root, reader.masked_outputs(outputs))


class _GraphReader:
    def __init__(self, custom: Mapping[str, Layer | type[Layer]], has_mixed_types: bool, builder: GraphBuilder) -> None:
        self.builder = builder
        self.custom, self._has_mixed_types = custom, has_mixed_types
        self.inner_calls: list[InnerCall] = []
        self._inputs: dict[str, Any] = {}
        self._input_types: dict[str, str] = {}
        # For a Sequential model without a shape; None once it is used.
        self.input_shape: list[int | None] | None = None

    def model(self, class_name: str, config: Config, scope: Scope, given: list[str] | None) -> Any:
        """The outputs, a tree of values, of a model on the values `given`, or on inputs of its own."""
        if class_name == SEQUENTIAL:
            return self._sequential(config, scope, given)
        return FunctionalReader(self, config, scope).outputs(given)

    def complete(self, outputs: Any, root: ModelPart) -> LoadedModel:
        """The model with these `outputs`. Raises `KerasFileError` if two layers have the same key."""
        names = self._output_names(outputs)
        for key, count in Counter(leaf.key for leaf in root.leaves()).items():
            if count > 1:
                raise KerasFileError(f"{root.place}: two layers are named {key!a}")
        nodes = _ancestors(self.builder.nodes, names)
        used = {node.key for node in nodes}
        for leaf in root.leaves():
            leaf.used = leaf.key in used
        model = Model(nodes, tuple(self._inputs), names, tuple(self._inputs.values()))
        types = tuple(self._input_types.items())
        return LoadedModel(**vars(model), inner=tuple(self.inner_calls), input_types=types)

    def _output_names(self, outputs: Any) -> tuple[str, ...]:
        """A distinct name for each output: in a dict its key, if no node has that name."""
        names: dict[str, None] = {}
        for key, value in named_leaves(outputs):
            if (key is not None and key != value) or value in names:
                value = self.builder.add(key or value, Activation("linear"), (value,))
            names[value] = None
        return tuple(names)

    def masked_outputs(self, outputs: Any) -> tuple[int, ...]:
        """The positions of the outputs that have a mask."""
        values = named_leaves(outputs)
        return tuple(position for position, (_, value) in enumerate(values) if self.builder.is_masked(value))

    def _sequential(self, config: Config, scope: Scope, given: list[str] | None) -> str:
        layers = config.get("layers", as_list)
        built_shape = config.get("build_input_shape", anything, None)
        value = given[0] if given else None
        folders = FolderNames(scope.part.folder)
        for position, entry in enumerate(layers):
            place = f"{scope.part.place}.layers[{position}]"
            class_name, name, _, inner = read_entry(entry, place)
            self.builder.call_count.add(place, f"{scope.key}{name}")
            if class_name == "InputLayer":
                value = value or self.input(name, inner)
                continue
            if value is None:
                shape = _batch_input_shape(entry) or built_shape
                if shape is None and scope.part.place == "config":
                    shape, self.input_shape = self.input_shape, None
                if shape is None:
                    inner.fail(
                        "the model has no input shape, for it was saved before it was built; give input_shape=, or "
                        "--input-shape to the jconv command"
                    )
                value = self.input("input", Config({"batch_shape": shape}, config.place))
            caller = self.add_part(entry, name, place, scope, folders)
            output = caller(Call((Ref("", 0, 0),), {}), lambda ref, v=value: v)
            values = [self.builder.output(output)] if isinstance(output, str) else flatten(output)
            if not values:
                inner.fail("a model without outputs cannot be followed by another layer")
            value = values[0]
        if value is None:
            config.fail("a Sequential model needs at least one layer")
        return value

    def add_part(self, entry: Any, name: str, place: str, scope: Scope, folders: FolderNames) -> Caller:
        """Add the part of a layer or model to the part of `scope`. Returns the `Caller` of the layer or model."""
        class_name, own_name, _, inner = read_entry(entry, place)
        part = ModelPart(name, folders.next(class_name, is_pruned(entry)), place)
        scope.part.parts.append(part)
        key, node = f"{scope.key}{own_name}", f"{scope.node}{own_name}"
        if class_name in MODELS:
            return _ModelCaller(self, class_name, inner, Scope(part, key, node, scope.mode)).call
        parsed = read_layer(entry, place, self.custom, self._nested_model, self._has_mixed_types)
        part.kind = None if parsed.kind is OTHER else parsed.kind
        part.key, part.class_name, part.config = key, class_name, inner.values
        return LayerCaller(self.builder, parsed, part, node, scope.mode).call

    def _nested_model(self, value: Any, place: str) -> Layer:
        """A model that is inside a layer."""
        class_name, name, _, inner = read_entry(value, place)
        builder = GraphBuilder(self.builder.call_count, self.builder.keras_2)
        reader = _GraphReader(self.custom, self._has_mixed_types, builder)
        root = ModelPart(name, "", place)
        model = reader.complete(reader.model(class_name, inner, Scope(root), None), root)
        return NestedModel(model, tuple((part.key, part.folder) for part in root.leaves()))

    def input(self, name: str, config: Config) -> str:
        """Add an input of the model."""
        shape = config.get("batch_shape", optional(_shape), None) or config.get("batch_input_shape", _shape)
        if name in self.builder.shapes:
            config.fail(f"the name {name!a} is used twice")
        self._input_types[name] = input_type(config.values)
        self._inputs[name] = self.builder.shapes[name] = shape[1:]
        return name


class _ModelCaller:
    """Adds the nodes of a nested model for each call; the key and node of `scope` are those of the model itself."""

    def __init__(self, reader: _GraphReader, class_name: str, config: Config, scope: Scope) -> None:
        self._reader, self._class_name, self._config, self._scope = reader, class_name, config, scope
        self._calls = 0

    def call(self, call: Call, value: Callable[[Ref], str]) -> Any:
        """Add a call; `value` gives the value of each tensor. Returns the tree of outputs."""
        reader, scope, part = self._reader, self._scope, self._scope.part
        self._calls += 1
        reader.builder.call_count.add(self._config.place, scope.node)
        if self._calls > 1:
            reader.builder.call_count.add_values(sum(1 for _ in values_in(self._config.values)), self._config.place)
        node = scope.node if self._calls == 1 else f"{scope.node}:{self._calls}"
        given = [value(ref) for ref in self._given(call)]
        for inside, mask in zip(given, flatten(call.kwargs.get("mask")), strict=False):
            if isinstance(mask, Ref):
                reader.builder.set_mask(inside, value(mask))
        # The parts of later calls have the same keys, so only the parts of the first call are kept.
        if self._calls > 1:
            part = ModelPart(part.name, part.folder, part.place)
        mode = mode_of(call, scope.mode, reader.builder, self._config.place)
        inner = Scope(part, f"{scope.key}/", f"{node}/", mode)
        outputs = reader.model(self._class_name, self._config, inner, given)
        names = input_layers(self._config.values)
        values = tuple(value for _, value in named_leaves(outputs))
        reader.inner_calls.append(InnerCall(node, scope.key, self._class_name, names, tuple(given), values))
        return outputs

    def _given(self, call: Call) -> list[Ref]:
        """The tensors of a call, in the order of the model's inputs; a dict may have them by name."""
        tree = call.args[0] if call.args else call.kwargs.get("inputs", ())
        if isinstance(tree, dict) and "input_layers" in self._config.values:
            inputs = read_refs(self._config.values["input_layers"], self._config.place)
            names = list(inputs) if isinstance(inputs, dict) else [ref.layer for ref in flatten(inputs)]
            if not set(names) <= set(tree):
                self._config.fail(
                    f"has the inputs {', '.join(map(ascii, names))} and is called on {', '.join(map(ascii, tree))}"
                )
            tree = {name: tree[name] for name in names} if isinstance(inputs, dict) else tuple(tree[n] for n in names)
        return refs_in(tree)


def _ancestors(nodes: list[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on."""
    needed = set(outputs)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in nodes if node.name in needed)


def _batch_input_shape(entry: Any) -> Any:
    """The shape that Keras 2 wrote into a layer, or for a model into its first layer; None if there is none."""
    while isinstance(entry, dict) and isinstance(config := entry.get("config"), dict):
        if "batch_input_shape" in config or entry.get("class_name") not in MODELS:
            return config.get("batch_input_shape")
        layers = config.get("layers")
        entry = layers[0] if isinstance(layers, list) and layers else None
    return None


def _shape(value: Any) -> tuple[int | None, ...]:
    value = as_list(value)
    if not value or not all(n is None or (isinstance(n, int) and not isinstance(n, bool) and n >= 0) for n in value):
        raise ValueError("must be a list of sizes, the batch's first")
    return tuple(value)
