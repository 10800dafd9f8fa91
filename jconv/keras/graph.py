"""A config's models into one flat graph of nodes: Sequential and Functional, models in models, shared layers, masks.

A model inside a model is written out where it is called, its nodes named `outer/inner`; called twice, its nodes come
twice and share their arrays. Masks, which Keras hands on behind the scenes, become values that nodes read like others.
What belongs to the file's arrays is kept in a tree of `Part`s, in the order of the config.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..layers import Activation, Layer, Operation, Pick
from ..layers.base import several
from ..layers.operation import Input
from ..model import Model, Node
from .calls import Call, Ref, read_calls, read_refs, refs_in
from .config import Config, as_list, optional, text
from .errors import KerasFileError
from .kind import Kind
from .kinds import KINDS
from .kinds.operations import FUNCTIONS, read_operation
from .limits import MOST_PARTS
from .read_layer import MODELS, Read, dtype_of, entry_of, read_layer, with_inputs

SEQUENTIAL = "Sequential"
# Arguments of a call that mean nothing to a graph: whether to train is said where the model is applied.
PASSED_OVER = ("training",)


@dataclass
class Part:
    """A layer or a model as the file's arrays see it.

    `folder` is its path in a Keras 3 file, `name` its name in a Keras 2 one; `key` is that of its arrays in params and
    state, `layer` and `input_shape` the layer as it is first called, `class_name` and `config` what the file says of
    it; a model has `parts` instead.
    """

    name: str
    folder: str
    place: str
    key: str = ""
    kind: Kind | None = None
    layer: Layer | None = None
    input_shape: Any = None
    class_name: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    def leaves(self) -> list[Part]:
        """The layers below, in the config's order, that the graph calls."""
        if self.layer is not None:
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves()]


@dataclass
class Built:
    """A graph that is complete: the model, where its arrays lie, and the positions of its outputs that have a mask."""

    model: Model
    root: Part
    masked: tuple[int, ...] = ()


def build(config: Mapping[str, Any], custom: Mapping[str, Layer]) -> Built:
    """The model of a whole config.

    Raises `KerasFileError` for a config that is no model, or has something that jconv does not.
    """
    class_name, name, entry, inner = entry_of(dict(config), "config")
    if class_name not in MODELS:
        entry.fail(
            f"the file holds a {class_name!a}; only Sequential and Functional models say in their file what "
            "they compute"
        )
    graph = _Graph(custom, _policy(inner))
    root = Part(name, "", "config")
    outputs = graph.model(class_name, inner, _Scope(root), None)
    names = graph.named_outputs(outputs)
    nodes = _needed(graph.nodes, names)
    try:
        model = Model(nodes, tuple(graph.inputs), names, tuple(graph.inputs.values()))
    except ValueError as error:
        raise KerasFileError(f"config: {error}") from None
    return Built(model, root, graph.masked_outputs(outputs))


@dataclass(frozen=True)
class _Scope:
    """Where in the file a model stands (`part`), and what its layers' keys and its nodes' names begin with."""

    part: Part
    key: str = ""
    node: str = ""


class _Graph:
    def __init__(self, custom: Mapping[str, Layer], policy: str | None) -> None:
        self.nodes: list[Node] = []
        self.inputs: dict[str, Any] = {}
        self._custom, self._policy = custom, policy
        self._shapes: dict[str, Any] = {}
        # By the value that it masks: the name of the mask's value, or the layer that makes it and what that reads.
        self._masks: dict[str, str | tuple[Layer, str]] = {}

    def model(self, class_name: str, config: Config, scope: _Scope, given: list[str] | None) -> Any:
        """The outputs, a tree of names of values, of a model on the values `given`, or on inputs of its own."""
        if class_name == SEQUENTIAL:
            return self._sequential(config, scope, given)
        return self._functional(config, scope, given)

    def named_outputs(self, outputs: Any) -> tuple[str, ...]:
        """The outputs' names, each once: those of a dict by its keys, where these are free."""
        names: list[str] = []
        for key, value in _in_order(outputs):
            if (key is not None and key != value) or value in names:
                value = self._add(key or value, Activation("linear"), (value,))
            names.append(value)
        return tuple(names)

    def masked_outputs(self, outputs: Any) -> tuple[int, ...]:
        """The positions, among the names of `named_outputs`, of values that have a mask."""
        values = _in_order(outputs)
        return tuple(position for position, (_, value) in enumerate(values) if value in self._masks)

    def _sequential(self, config: Config, scope: _Scope, given: list[str] | None) -> str:
        layers = config.get("layers", as_list)
        if not layers:
            config.fail("a Sequential model needs at least one layer")
        built = config.get("build_input_shape", lambda v: v, None)
        config.get("trainable", lambda v: v, None)
        value = given[0] if given else None
        folders = _Folders(scope.part.folder)
        for position, entry in enumerate(layers):
            place = f"{scope.part.place}.layers[{position}]"
            class_name, name, _, inner = entry_of(entry, place)
            if class_name == "InputLayer":
                value = value or self._input(name, inner)
                continue
            if value is None:
                shape = inner.values.get("batch_input_shape", built)
                if shape is None:
                    inner.fail("the model has no input shape: it was never built, so there is nothing to read")
                value = self._input("input", Config({"batch_shape": shape}, config.place))
            part = Part(name, folders.of(class_name), place)
            scope.part.parts.append(part)
            value = self._first(
                self._caller(entry, part, scope).call(Call((Ref("", 0, 0),), {}), lambda ref, v=value: v)
            )
        if value is None:
            config.fail("a Sequential model needs a layer")
        return value

    def _functional(self, config: Config, scope: _Scope, given: list[str] | None) -> Any:
        place = scope.part.place
        entries = config.get("layers", as_list)
        if len(entries) > MOST_PARTS:
            config.fail(f"has {len(entries):,} layers; more than {MOST_PARTS:,} are refused")
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
        folders = _Folders(scope.part.folder)
        for position, entry in enumerate(entries):
            place = f"{scope.part.place}.layers[{position}]"
            class_name, name, outer, inner = entry_of(entry, place)
            name = outer.get("name", text, name)
            if name in members:
                outer.fail(f"the name {name!a} is used twice")
            nodes = outer.get("inbound_nodes", as_list, [])
            calls = read_calls(nodes, inner.place)
            old = any(isinstance(node, list) for node in nodes)
            member = _Member(name, class_name, entry, inner, calls, old)
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
        """Call every layer as soon as what it reads is there."""
        for ref in _flat(outputs):
            if ref.layer not in members:
                config.fail(f"the output {ref.layer!a} does not exist")
        waiting: dict[tuple[str, int], set[tuple[str, int]]] = {}
        readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for member in members.values():
            for number, call in enumerate(member.calls):
                needs = {(ref.layer, members[ref.layer].called(ref)) for ref in call.refs()}
                waiting[member.name, number] = needs - set(values)
                for need in needs:
                    readers.setdefault(need, []).append((member.name, number))
        ready = [this for this, needs in waiting.items() if not needs]
        while ready:
            name, number = this = ready.pop(0)
            member = members[name]

            def value(ref: Ref) -> str:
                return self._picked(values, Ref(ref.layer, members[ref.layer].called(ref), ref.tensor), config)

            call = member.calls[number]
            if member.is_operation:
                values[this] = self._operation(member, call, value)
            elif member.caller is not None:
                values[this] = member.caller.call(call, value)
            else:
                member.config.fail("an InputLayer is not called")
            for reader in readers.get(this, []):
                waiting[reader].discard(this)
                if not waiting[reader]:
                    ready.append(reader)
            waiting.pop(this)
        if waiting:
            name, _ = next(iter(waiting))
            config.fail(f"the layers read each other in a circle, or what does not exist, at {name!a}")

    def _caller(self, entry: Any, part: Part, scope: _Scope) -> _Caller:
        class_name, name, _, inner = entry_of(entry, part.place)
        key = f"{scope.key}{name}"
        if class_name in MODELS:
            return _ModelCaller(self, class_name, inner, part, key, f"{scope.node}{name}")
        read = read_layer(entry, part.place, self._custom, self._nested, self._policy)
        part.kind, part.key, part.class_name, part.config = read.kind, key, class_name, inner.values
        return _LayerCaller(self, read, part, f"{scope.node}{name}")

    def _nested(self, value: Any, place: str) -> Layer:
        from .nested import Nested

        class_name, name, _, inner = entry_of(value, place)
        graph = _Graph(self._custom, self._policy)
        root = Part(name, "", place)
        outputs = graph.named_outputs(graph.model(class_name, inner, _Scope(root), None))
        model = Model(_needed(graph.nodes, outputs), tuple(graph.inputs), outputs, tuple(graph.inputs.values()))
        return Nested(model, tuple((part.key, part.folder) for part in root.leaves()))

    def _input(self, name: str, config: Config) -> str:
        shape = config.get("batch_shape", optional(_shape), None) or config.get("batch_input_shape", _shape)
        if name in self._shapes:
            config.fail(f"the name {name!a} is used twice")
        self.inputs[name] = self._shapes[name] = shape[1:]
        return name

    def _operation(self, member: _Member, call: Call, value: Any) -> str:
        refs = list(dict.fromkeys(call.refs()))
        numbers = {ref: Input(i) for i, ref in enumerate(refs)}
        layer = read_operation(member.class_name, member.config, call, lambda ref: numbers[ref])
        if not refs:
            member.config.fail("an operation must read at least one tensor")
        return self._add(member.name, layer, tuple(value(ref) for ref in refs), place=member.config.place)

    def _picked(self, values: dict[tuple[str, int], Any], ref: Ref, config: Config) -> str:
        found = values.get((ref.layer, ref.call))
        if found is None:
            config.fail(f"call {ref.call} of {ref.layer!a} does not exist")
        if not isinstance(found, str):
            flat = _flat(found)
            if ref.tensor >= len(flat):
                config.fail(f"{ref.layer!a} has {len(flat)} outputs, and number {ref.tensor} is read")
            return flat[ref.tensor]
        return self._first(found, ref.tensor, config)

    def _first(self, value: Any, index: int = 0, config: Config | None = None) -> str:
        """Output `index` of a value that may be several."""
        if not isinstance(value, str):
            return _flat(value)[index]
        if not several(self._shapes[value]):
            if index and config is not None:
                config.fail(f"{value!a} has one output, and number {index} is read")
            return value
        name = f"{value}[{index}]"
        if name not in self._shapes:
            self._add(name, Pick(index), (value,))
            if value in self._masks and index == 0:
                self._masks[name] = self._masks[value]
        return name

    def add_layer(
        self, name: str, read: Read, layer: Layer, roles: tuple[str, ...], inputs: tuple[str, ...], part: Part
    ) -> str:
        """A node that calls a layer of the file; `roles` are the layer's names of its `inputs`, where it has some."""
        name = self._add(name, layer, inputs, part.key, part.place if read.kind is None else read.place)
        if part.layer is None:
            shapes = tuple(self._shapes[i] for i in inputs)
            part.layer, part.input_shape = layer, shapes if layer.merges else shapes[0]
        kind, said = read.kind, "stop"
        if kind is not None:
            said = kind.mask(read.base) if callable(kind.mask) else kind.mask
        if isinstance(said, Layer):
            self._masks[name] = (said, inputs[0])
        elif said == "on" and any(value in self._masks for value in inputs):
            values = tuple(v for v, role in zip(inputs, roles, strict=True) if role != "mask") if roles else inputs
            self._hand_on(name, read, values)
        if kind is not None and kind.takes_masks_off:
            for value in inputs:
                self._masks.pop(value, None)
        return name

    def _hand_on(self, name: str, read: Read, inputs: tuple[str, ...]) -> None:
        joins = read.kind.joins if read.kind is not None else ""
        if not joins:
            if inputs[0] in self._masks:
                self._masks[name] = self._masks[inputs[0]]
            return
        masks = [self.mask_of(value) for value in inputs]
        if joins == "beside" and getattr(read.base, "axis", None) in (1, -2):
            if all(len(self._shapes[value]) == 2 for value in inputs):
                self._masks[name] = self._beside(name, inputs, masks)
            return
        # One that has no mask counts whole, and then so does all of what they are joined to.
        joined = masks[0]
        for number, mask in enumerate(masks[1:]):
            if joined is None or mask is None:
                return
            either = Operation("logical_or", (Input(0), Input(1)))
            joined = self._add(f"{name}/mask{number}", either, (joined, mask))
        if joined is not None:
            self._masks[name] = joined

    def _beside(self, name: str, inputs: tuple[str, ...], masks: list[str | None]) -> str:
        """The mask of sequences that are put one after the other."""
        found = []
        for value, mask in zip(inputs, masks, strict=True):
            if mask is None:
                ones = self._add(f"{value}/ones", Operation("ones_like"), (value,))
                mask = self._add(f"{value}/all", Operation("any", options=(("axis", -1),)), (ones,))
            found.append(mask)
        # An operation reads each value once.
        read = tuple(dict.fromkeys(found))
        places = tuple(Input(read.index(mask)) for mask in found)
        return self._add(f"{name}/mask", Operation("concatenate", (places,), (("axis", 1),)), read)

    def with_masks(self, values: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a layer reads that merges `values` by their masks: the roles, and the values, each before its mask."""
        rank = max(len(self._shapes[value]) for value in values)
        # Keras loses the mask of a value to which it adds axes.
        pairs = [(v, self.mask_of(v) if len(self._shapes[v]) == rank else None) for v in values]
        if all(mask is None for _, mask in pairs):
            return (), values
        read = [(role, v) for pair in pairs for role, v in zip(("value", "mask"), pair, strict=True) if v is not None]
        return tuple(role for role, _ in read), tuple(v for _, v in read)

    def mask_of(self, value: str) -> str | None:
        """The value that masks another, put into the graph at its first use; None where there is none."""
        found = self._masks.get(value)
        if found is None or isinstance(found, str):
            return found
        layer, reads = found
        name = self._add(f"{value}/mask", layer, (reads,))
        self._masks = {v: name if m is found else m for v, m in self._masks.items()}
        return name

    def set_mask(self, value: str, mask: str) -> None:
        """Let `mask` be the mask of a value."""
        self._masks.setdefault(value, mask)

    def _add(self, name: str, layer: Layer, inputs: tuple[str, ...], key: str | None = None, place: str = "") -> str:
        # A layer that is called again is another node with the same arrays.
        again = 1
        unique = name
        while unique in self._shapes:
            again += 1
            unique = f"{name}:{again}"
        shapes = tuple(self._shapes[value] for value in inputs)
        try:
            node = Node(unique, layer, inputs, key if key != unique else None)
            self._shapes[unique] = layer.output_shape(shapes if layer.merges else shapes[0])
        except ValueError as error:
            raise KerasFileError(f"{place or ascii(name)}: {error}") from None
        self.nodes.append(node)
        return unique


@dataclass
class _Member:
    """A layer of a Functional model, its calls, and which calls others refer to."""

    name: str
    class_name: str
    entry: Any
    config: Config
    calls: list[Call]
    old: bool
    part: Part | None = None
    caller: Any = None
    referred: set[int] = field(default_factory=set)

    @property
    def is_operation(self) -> bool:
        """Whether it is a function of keras.ops; some have the name of a layer, but nothing to train or not."""
        return self.class_name in FUNCTIONS and "trainable" not in self.config.values

    def called(self, ref: Ref, output: bool = False) -> int:
        """The call that a reference means. A model counts the call that made it, in Keras 2 and among outputs."""
        if self.class_name not in MODELS or not self.calls:
            return ref.call
        if not self.old:
            return ref.call - 1 if output and self.class_name != SEQUENTIAL else ref.call
        counted = self.referred | {ref.call}
        return ref.call - 1 if 0 not in counted else ref.call


class _Caller:
    def call(self, call: Call, value: Any) -> Any:
        """The value, or tree of values, of a call whose tensors `value` names."""
        raise NotImplementedError


class _ModelCaller(_Caller):
    """A model inside a model: written out again at each call."""

    def __init__(self, graph: _Graph, class_name: str, config: Config, part: Part, key: str, node: str) -> None:
        self._graph, self._class_name, self._config, self._part = graph, class_name, config, part
        self._key, self._node, self._calls = key, node, 0

    def call(self, call: Call, value: Any) -> Any:
        self._calls += 1
        label = self._node if self._calls == 1 else f"{self._node}:{self._calls}"
        given = [value(ref) for ref in refs_in(call.args)] or [value(ref) for ref in call.refs()]
        mask = call.kwargs.get("mask")
        if isinstance(mask, Ref) and given:
            self._graph.set_mask(given[0], value(mask))
        # Only the first call's parts are the file's; the others have the same keys.
        part = self._part if self._calls == 1 else Part(self._part.name, self._part.folder, self._part.place)
        return self._graph.model(self._class_name, self._config, _Scope(part, f"{self._key}/", f"{label}/"), given)


class _LayerCaller(_Caller):
    """A layer: one node a call."""

    def __init__(self, graph: _Graph, read: Read, part: Part, node: str) -> None:
        self._graph, self._read, self._part, self._node = graph, read, part, node

    def call(self, call: Call, value: Any) -> str:
        roles, inputs, options = self._arranged(call, value)
        layer = with_inputs(self._read, roles, options)
        return self._graph.add_layer(self._node, self._read, layer, roles, inputs, self._part)

    def _arranged(self, call: Call, value: Any) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
        """The names of the layer's inputs, the values that they are, and options that the call sets."""
        kind, fail = self._read.kind, Config({}, self._read.place).fail
        wanted: Mapping[str, tuple[str, ...]] = kind.arguments(self._read.base) if kind else {}
        if kind is not None and kind.takes_mask and "mask" not in wanted:
            wanted = {**(wanted or {"inputs": (self._default_input(),)}), "mask": ("mask",)}
        if not wanted:
            refs = tuple(refs_in(call.args)) or tuple(ref for v in call.kwargs.values() for ref in refs_in(v))
            if not refs:
                fail("is called on no tensor")
            values = tuple(value(ref) for ref in refs)
            named = self._graph.with_masks(values) if kind is not None and kind.reads_masks else ((), values)
            return named[0], named[1], {}
        if len(call.args) > len(wanted):
            fail(f"is called with {len(call.args)} arguments; it takes {', '.join(wanted)}")
        given = dict(zip(wanted, call.args, strict=False)) | call.kwargs
        options = {}
        for name, found in given.items():
            if name in wanted or name in PASSED_OVER:
                continue
            if kind is not None and name in kind.call_options:
                if found is not None:
                    options[kind.call_options[name]] = found
            elif found is not None:
                fail(f"is called with {name!a}, which jconv does not have for it")
        roles: list[str] = []
        inputs: list[str] = []
        for name, parts in wanted.items():
            found = given.get(name)
            trees = found if isinstance(found, tuple) else (found,)
            # The states of a recurrent layer may stand in one list behind its sequence.
            parts = parts if len(trees) <= len(parts) else tuple(p for ps in wanted.values() for p in ps)
            if len(trees) > len(parts):
                fail(f"argument {name} has {len(trees)} tensors; it takes {', '.join(parts)}")
            for role, ref in zip(parts, trees, strict=False):
                if isinstance(ref, Ref):
                    roles.append(role)
                    inputs.append(value(ref))
                elif ref is not None:
                    fail(f"argument {name} must be a tensor")
        if not inputs:
            fail("is called on no tensor")
        self._with_masks(wanted, roles, inputs)
        return tuple(roles), tuple(inputs), options

    def _default_input(self) -> str:
        inputs = getattr(self._read.base, "inputs", ("inputs",))
        return next(name for name in inputs if name != "mask")

    def _with_masks(self, wanted: Mapping[str, tuple[str, ...]], roles: list[str], inputs: list[str]) -> None:
        """Add the masks that Keras hands to the layer with its inputs, where the call does not say them."""
        allowed = [role for parts in wanted.values() for role in parts]
        for role, found in list(zip(roles, inputs, strict=True)):
            name = f"{role}_mask" if f"{role}_mask" in allowed else "mask"
            if (name != "mask" or role == roles[0]) and name in allowed and name not in roles:
                mask = self._graph.mask_of(found)
                if mask is not None:
                    roles.append(name)
                    inputs.append(mask)


class _Folders:
    """Keras 3's names of folders: the class, counted where it comes again."""

    def __init__(self, above: str) -> None:
        self._above = f"{above}/layers" if above else "layers"
        self._counts: Counter[str] = Counter()

    def of(self, class_name: str) -> str:
        """The folder of the next layer of a class."""
        name = folder_name("Functional" if class_name == "Model" else class_name)
        number = self._counts[name]
        self._counts[name] += 1
        return f"{self._above}/{name}_{number}" if number else f"{self._above}/{name}"


def folder_name(class_name: str) -> str:
    """The name of the folder of a class's arrays.

    >>> folder_name("GroupQueryAttention")
    'grouped_query_attention'
    """
    kind = KINDS.get(class_name)
    return snake_case(kind.own_name or class_name if kind else class_name)


def snake_case(name: str) -> str:
    """`Conv1D` to `conv1d`, as Keras names what it has no name for.

    >>> snake_case("GlobalAveragePooling1D")
    'global_average_pooling1d'
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes that the outputs come from."""
    needed = set(outputs)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in nodes if node.name in needed)


def _policy(config: Config) -> str | None:
    """The first type other than float32 that a layer has, at any depth; None where all compute in float32."""
    waiting: list[Any] = [config.values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            inner = value.get("config")
            if isinstance(inner, dict) and "dtype" in inner and value.get("class_name") != "InputLayer":
                if "trainable" in inner and dtype_of(Config(inner, config.place)) != "float32":
                    return dtype_of(Config(inner, config.place))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None


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
    """`(key, value)` of every output, the key that of a dict of them."""
    named = outputs.items() if isinstance(outputs, dict) else [(None, outputs)]
    return [(key, value) for key, tree in named for value in _flat(tree)]


def _mapped(function: Any, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _mapped(function, part) for key, part in tree.items()}
    return tuple(_mapped(function, part) for part in tree) if isinstance(tree, tuple) else function(tree)
