"""A config's models into one flat graph of nodes: Sequential and Functional, models in models, shared layers.

A model inside a model is written out where it is called, its nodes named `outer/inner`; called twice, its nodes come
twice and share their arrays. What belongs to the file's arrays is kept in a tree of `Part`s, in the config's order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...layers import Activation, Layer
from ...layers.operations.operation import Input
from ...model.graph import Model, Node
from ..files.errors import KerasFileError, spoken_at
from ..files.limits import Tally
from ..kinds.config import Config, as_list, optional, text
from ..kinds.operations import FUNCTIONS, read_operation
from ..kinds.tensorflow import CLASSES as TENSORFLOW
from ..kinds.tensorflow import read_tensorflow
from .calls import Call, Ref, read_calls, read_refs, refs_in
from .inner import InnerCall, LoadedModel, input_layers, input_type
from .layer import MODELS, entry_of, policy_of, read_layer
from .layer_call import LayerCaller, mode_of
from .nested import Nested
from .order import keras_calls, ready_calls
from .parts import Folders, Part
from .values import Values

SEQUENTIAL = "Sequential"


@dataclass
class Built:
    """A graph that is complete: the model, where its arrays lie, and the positions of its outputs that have a mask."""

    model: LoadedModel
    root: Part
    masked: tuple[int, ...] = ()


def build(
    config: Mapping[str, Any],
    custom: Mapping[str, Layer | type[Layer]],
    *,
    older: bool = False,
    input_shape: Sequence[int | None] | None = None,
) -> Built:
    """The model of a whole config; with `older` masks go on as in Keras 2.

    `input_shape` is that of one example for a Sequential model that has none.

    Raises `KerasFileError` for a config that is no model, or has something that jconv does not.
    """
    class_name, name, entry, inner = entry_of(dict(config), "config")
    if class_name not in MODELS:
        entry.fail(
            f"the file holds a {class_name!a}; only Sequential and Functional models say in their file what "
            "they compute"
        )
    # Models and layers inside each other may be deeper than Python's stack.
    with spoken_at("config"):
        graph = _Graph(custom, policy_of(inner), Values(Tally(), older))
        root = Part(name, "", "config")
        graph.input_shape = None if input_shape is None else [None, *input_shape]
        outputs = graph.model(class_name, inner, _Scope(root), None)
        if graph.input_shape is not None:
            entry.fail("input_shape is for a Sequential model that has none of its own, and this one has")
        return Built(graph.complete(outputs, root), root, graph.masked_outputs(outputs))


@dataclass(frozen=True)
class _Scope:
    """Where in the file a model stands (`part`), and what its layers' keys and its nodes' names begin with.

    `mode` says whether the model is always in training, or never; None where its call does not say so.
    """

    part: Part
    key: str = ""
    node: str = ""
    mode: bool | None = None


class _Graph:
    def __init__(self, custom: Mapping[str, Layer | type[Layer]], policy: str | None, values: Values) -> None:
        self.values = values
        self.inputs: dict[str, Any] = {}
        self.inner: list[InnerCall] = []
        self.types: dict[str, str] = {}
        self.tally = values.tally
        # For a Sequential model without one; None once it is used.
        self.input_shape: list[int | None] | None = None
        self._custom, self._policy = custom, policy

    def model(self, class_name: str, config: Config, scope: _Scope, given: list[str] | None) -> Any:
        """The outputs, a tree of names of values, of a model on the values `given`, or on inputs of its own."""
        if class_name == SEQUENTIAL:
            return self._sequential(config, scope, given)
        return self._functional(config, scope, given)

    def complete(self, outputs: Any, root: Part) -> LoadedModel:
        """The model with these `outputs`. Raises `KerasFileError` where two layers are to have the same arrays."""
        names = self._named_outputs(outputs)
        keys = Counter(leaf.key for leaf in root.leaves())
        for key, count in keys.items():
            if count > 1:
                raise KerasFileError(f"{root.place}: two layers are named {key!a}")
        nodes = _needed(self.values.nodes, names)
        used = {node.key for node in nodes}
        for leaf in root.leaves():
            leaf.used = leaf.key in used
        model = Model(nodes, tuple(self.inputs), names, tuple(self.inputs.values()))
        return LoadedModel(**vars(model), inner=tuple(self.inner), input_types=tuple(self.types.items()))

    def _named_outputs(self, outputs: Any) -> tuple[str, ...]:
        """The outputs' names, each once: those of a dict by its keys, where these are free."""
        names: dict[str, None] = {}
        for key, value in _in_order(outputs):
            if (key is not None and key != value) or value in names:
                value = self.values.add(key or value, Activation("linear"), (value,))
            names[value] = None
        return tuple(names)

    def masked_outputs(self, outputs: Any) -> tuple[int, ...]:
        """The positions, among the names of `named_outputs`, of values that have a mask."""
        values = _in_order(outputs)
        return tuple(position for position, (_, value) in enumerate(values) if self.values.is_masked(value))

    def _sequential(self, config: Config, scope: _Scope, given: list[str] | None) -> str:
        layers = config.get("layers", as_list)
        if not layers:
            config.fail("a Sequential model needs at least one layer")
        built = config.get("build_input_shape", lambda v: v, None)
        config.get("trainable", lambda v: v, None)
        value = given[0] if given else None
        folders = Folders(scope.part.folder)
        for position, entry in enumerate(layers):
            place = f"{scope.part.place}.layers[{position}]"
            self.tally.add(place)
            class_name, name, _, inner = entry_of(entry, place)
            if class_name == "InputLayer":
                value = value or self._input(name, inner)
                continue
            if value is None:
                shape = inner.values.get("batch_input_shape", built)
                if shape is None and scope.part.place == "config":
                    shape, self.input_shape = self.input_shape, None
                if shape is None:
                    inner.fail("the model has no input shape, for it was saved before it was built; give input_shape=")
                value = self._input("input", Config({"batch_shape": shape}, config.place))
            part = Part(name, folders.of(class_name), place)
            scope.part.parts.append(part)
            made = self._caller(entry, part, scope).call(Call((Ref("", 0, 0),), {}), lambda ref, v=value: v)
            flat = [self.values.output(made)] if isinstance(made, str) else _flat(made)
            if not flat:
                inner.fail("a model without outputs cannot be followed by another layer")
            value = flat[0]
        if value is None:
            config.fail("a Sequential model needs a layer")
        return value

    def _functional(self, config: Config, scope: _Scope, given: list[str] | None) -> Any:
        place = scope.part.place
        entries = config.get("layers", as_list)
        inputs = _flat(read_refs(config.get("input_layers", lambda v: v), f"{place}.input_layers"))
        outputs = read_refs(config.get("output_layers", lambda v: v), f"{place}.output_layers")
        if given is not None and len(given) != len(inputs):
            config.fail(f"has {len(inputs)} inputs and is called on {len(given)}")
        members = self._members(entries, scope)
        values: dict[tuple[str, int], Any] = {}
        for position, ref in enumerate(inputs):
            if ref.layer not in members or members[ref.layer].class_name != "InputLayer":
                config.fail(f"the input {ref.layer!a} is no InputLayer of the model")
            member = members[ref.layer]
            values[ref.layer, 0] = given[position] if given else self._input(ref.layer, member.config)
        self._run(members, values, outputs, config)

        def value(ref: Ref) -> str:
            return self._picked(values, Ref(ref.layer, members[ref.layer].called(ref, output=True), ref.tensor), config)

        return _mapped(value, outputs)

    def _members(self, entries: list[Any], scope: _Scope) -> dict[str, _Member]:
        members: dict[str, _Member] = {}
        folders = Folders(scope.part.folder)
        for position, entry in enumerate(entries):
            place = f"{scope.part.place}.layers[{position}]"
            self.tally.add(place)
            class_name, name, outer, inner = entry_of(entry, place)
            name = outer.get("name", text, name)
            if name in members:
                outer.fail(f"the name {name!a} is used twice")
            nodes = outer.get("inbound_nodes", as_list, [])
            calls = read_calls(nodes, inner.place)
            old = any(isinstance(node, list) for node in nodes)
            member = _Member(name, class_name, entry, inner, calls, old, f"{scope.node}{name}")
            member.supplied = name in self._custom or class_name in self._custom
            # Operations of keras.ops are no layers: they have no arrays, and no folder is counted for them.
            if class_name != "InputLayer" and not member.is_operation:
                member.part = Part(name, folders.of(class_name), place)
                scope.part.parts.append(member.part)
                member.caller = self._caller(entry, member.part, scope)
            members[name] = member
        for ref in (ref for member in list(members.values()) for call in member.calls for ref in call.refs()):
            if ref.layer not in members:
                raise KerasFileError(f"{scope.part.place}: a layer reads {ref.layer!a}, which does not exist")
            members[ref.layer].referred.add(ref.call)
        return members

    def _run(
        self, members: dict[str, _Member], values: dict[tuple[str, int], Any], outputs: Any, config: Config
    ) -> None:
        """Make every call, in Keras's order: an attention takes the masks off what it reads for those after it."""
        for ref in _flat(outputs):
            if ref.layer not in members:
                config.fail(f"the output {ref.layer!a} does not exist")
        for member in members.values():
            if member.class_name == "InputLayer" and member.calls:
                member.config.fail("an InputLayer is not called")
        needs = {
            (member.name, number): [(ref.layer, members[ref.layer].called(ref)) for ref in call.refs()]
            for member in members.values()
            for number, call in enumerate(member.calls)
        }
        ready = ready_calls(needs, set(values))
        if len(ready) < len(needs):
            name = next(this for this in needs if this not in ready)[0]
            config.fail(f"the layers read each other in a circle, or what does not exist, at {name!a}")
        known = {**dict.fromkeys(values, ()), **needs}
        last = [(ref.layer, members[ref.layer].called(ref, output=True)) for ref in _flat(outputs)]
        order = keras_calls(known, [this for this in last if this in known])
        # Those that no output needs come at the end: there may be some in files of Keras 2.
        for this in (this for this in dict.fromkeys([*order, *ready]) if this in needs):
            name, number = this
            member = members[name]

            def value(ref: Ref) -> str:
                return self._picked(values, Ref(ref.layer, members[ref.layer].called(ref), ref.tensor), config)

            call = member.calls[number]
            if member.is_operation:
                values[this] = self._operation(member, call, value)
            else:
                assert member.caller is not None
                made = member.caller.call(call, value)
                values[this] = made if isinstance(made, str) else _flat(made)

    def _caller(self, entry: Any, part: Part, scope: _Scope) -> _ModelCaller | LayerCaller:
        class_name, name, _, inner = entry_of(entry, part.place)
        key = f"{scope.key}{name}"
        if class_name in MODELS:
            return _ModelCaller(self, class_name, inner, part, key, f"{scope.node}{name}", scope.mode)
        read = read_layer(entry, part.place, self._custom, self._nested, self._policy)
        part.kind, part.key, part.class_name, part.config = read.kind, key, class_name, inner.values
        return LayerCaller(self.values, read, part, f"{scope.node}{name}", scope.mode)

    def _nested(self, value: Any, place: str) -> Layer:
        class_name, name, _, inner = entry_of(value, place)
        graph = _Graph(self._custom, self._policy, Values(self.tally, self.values.older))
        root = Part(name, "", place)
        model = graph.complete(graph.model(class_name, inner, _Scope(root), None), root)
        return Nested(model, tuple((part.key, part.folder) for part in root.leaves()))

    def _input(self, name: str, config: Config) -> str:
        shape = config.get("batch_shape", optional(_shape), None) or config.get("batch_input_shape", _shape)
        if name in self.values.shapes:
            config.fail(f"the name {name!a} is used twice")
        self.types[name] = input_type(config.values)
        self.inputs[name] = self.values.shapes[name] = shape[1:]
        return name

    def _operation(self, member: _Member, call: Call, value: Any) -> str:
        refs = list(dict.fromkeys(call.refs()))
        numbers = {ref: Input(i) for i, ref in enumerate(refs)}
        read = read_tensorflow if member.class_name in TENSORFLOW else read_operation
        layer = read(member.class_name, member.config, call, lambda ref: numbers[ref])
        if not refs:
            member.config.fail("an operation must read at least one tensor")
        return self.values.add(member.node, layer, tuple(value(ref) for ref in refs), place=member.config.place)

    def _picked(self, values: dict[tuple[str, int], Any], ref: Ref, config: Config) -> str:
        found = values.get((ref.layer, ref.call))
        if found is None:
            config.fail(f"call {ref.call} of {ref.layer!a} does not exist")
        if not isinstance(found, str):
            if ref.tensor >= len(found):
                config.fail(f"{ref.layer!a} has {len(found)} outputs, and number {ref.tensor} is read")
            return found[ref.tensor]
        return self.values.output(found, ref.tensor)


@dataclass
class _Member:
    """A layer of a Functional model, its calls, the name of its nodes, and which calls others refer to."""

    name: str
    class_name: str
    entry: Any
    config: Config
    calls: list[Call]
    old: bool
    node: str
    part: Part | None = None
    caller: Any = None
    referred: set[int] = field(default_factory=set)
    supplied: bool = False

    @property
    def is_operation(self) -> bool:
        """Whether it is a function of TensorFlow's, or of keras.ops.

        Some of these have the name of a layer, but nothing to train or not.
        """
        if self.class_name in TENSORFLOW:
            return not self.supplied
        return self.class_name in FUNCTIONS and "trainable" not in self.config.values

    def called(self, ref: Ref, output: bool = False) -> int:
        """The call that a reference means. A model counts the call that made it, in Keras 2 and among outputs."""
        if self.class_name not in MODELS or not self.calls:
            return ref.call
        if not self.old:
            return ref.call - 1 if output and self.class_name != SEQUENTIAL else ref.call
        counted = self.referred | {ref.call}
        return ref.call - 1 if 0 not in counted else ref.call


class _ModelCaller:
    """A model inside a model: written out again at each call."""

    def __init__(
        self, graph: _Graph, class_name: str, config: Config, part: Part, key: str, node: str, mode: bool | None
    ) -> None:
        self._graph, self._class_name, self._config, self._part = graph, class_name, config, part
        self._key, self._node, self._mode, self._calls = key, node, mode, 0

    def call(self, call: Call, value: Callable[[Ref], str]) -> Any:
        """The value, or tree of values, of a call whose tensors `value` names."""
        self._calls += 1
        self._graph.tally.add(self._config.place)
        label = self._node if self._calls == 1 else f"{self._node}:{self._calls}"
        given = [value(ref) for ref in self._given(call)]
        masks = call.kwargs.get("mask")
        for inside, mask in zip(given, _flat(masks), strict=False):
            if isinstance(mask, Ref):
                self._graph.values.set_mask(inside, value(mask))
        # Only the first call's parts are the file's; the others have the same keys.
        part = self._part if self._calls == 1 else Part(self._part.name, self._part.folder, self._part.place)
        mode = mode_of(call, self._mode, self._graph.values, self._config.place)
        scope = _Scope(part, f"{self._key}/", f"{label}/", mode)
        made = self._graph.model(self._class_name, self._config, scope, given)
        names = input_layers(self._config.values)
        outputs = tuple(value for _, value in _in_order(made))
        self._graph.inner.append(InnerCall(label, self._key, self._class_name, names, tuple(given), outputs))
        return made

    def _given(self, call: Call) -> list[Ref]:
        """The tensors of a call in the order of the model's inputs, which a dict may give by name."""
        tree = call.args[0] if call.args else call.kwargs.get("inputs", ())
        if isinstance(tree, dict) and "input_layers" in self._config.values:
            inputs = read_refs(self._config.values["input_layers"], self._config.place)
            names = list(inputs) if isinstance(inputs, dict) else [ref.layer for ref in _flat(inputs)]
            if not set(names) <= set(tree):
                self._config.fail(
                    f"has the inputs {', '.join(map(ascii, names))} and is called on {', '.join(map(ascii, tree))}"
                )
            tree = {name: tree[name] for name in names} if isinstance(inputs, dict) else tuple(tree[n] for n in names)
        return list(refs_in(tree))


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes that the outputs come from."""
    needed = set(outputs)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in nodes if node.name in needed)


def _shape(value: Any) -> tuple[int | None, ...]:
    value = as_list(value)
    if not value or not all(n is None or (isinstance(n, int) and not isinstance(n, bool) and n >= 0) for n in value):
        raise ValueError("must be a list of sizes, the batch's first")
    return tuple(value)


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = tuple(tree[key] for key in sorted(tree))
    return [leaf for part in tree for leaf in _flat(part)] if isinstance(tree, tuple) else [tree]


def _in_order(outputs: Any) -> list[tuple[str | None, str]]:
    """`(key, value)` of every output as Keras counts them, the key that of a dict of them."""
    named = sorted(outputs.items()) if isinstance(outputs, dict) else [(None, outputs)]
    return [(key, value) for key, tree in named for value in _flat(tree)]


def _mapped(function: Any, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _mapped(function, part) for key, part in tree.items()}
    return tuple(_mapped(function, part) for part in tree) if isinstance(tree, tuple) else function(tree)
