"""A Functional model: its layers, and their calls in Keras's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...layers import Layer
from ...layers.operations.operation import Input, Operation
from ..files.errors import KerasFileError, error_context
from ..kinds.config import Config, anything, as_list, text
from ..kinds.operations import FUNCTIONS
from .builder import GraphBuilder
from .call_order import computable, run_order
from .calls import Call, Ref, flatten, map_tree, parse_argument, read_calls, read_refs, refs_in, replace_refs
from .layer import MODELS, SEQUENTIAL, is_of_keras, read_entry
from .parts import FolderNames, ModelPart
from .tensorflow import CLASSES as TENSORFLOW
from .tensorflow import read_tensorflow

# `caller(call, value)` adds a call of one layer or nested model; `value` gives the value of each tensor. It returns the
# value of the output, or a tree of values.
Caller = Callable[[Call, Callable[[Ref], str]], Any]


class ModelReader(Protocol):
    """The methods of the reader of the complete graph that `FunctionalReader` needs."""

    builder: GraphBuilder
    custom: Mapping[str, Layer | type[Layer]]

    def add_part(self, entry: Any, name: str, place: str, scope: Scope, folders: FolderNames) -> Caller:
        """Add the part of a layer or model to the part of `scope`. Returns the `Caller` of the layer or model."""
        ...

    def input(self, name: str, config: Config) -> str:
        """Add an input of the model."""
        ...


@dataclass(frozen=True)
class Scope:
    """The model that is read: its part, and the prefixes of its layers' keys and its nodes' names.

    `mode` is True if the model is always in training, False if it never is, None if its call does not say.
    """

    part: ModelPart
    key: str = ""
    node: str = ""
    mode: bool | None = None


class FunctionalReader:
    """Reads one Functional model: its layers by name, and the values of their calls, by layer and number."""

    def __init__(self, reader: ModelReader, config: Config, scope: Scope) -> None:
        self._reader, self._config, self._scope = reader, config, scope
        self._layers: dict[str, FunctionalLayer] = {}
        self._values: dict[tuple[str, int], Any] = {}

    def outputs(self, given: list[str] | None) -> Any:
        """The outputs of the model on the values `given`, or on inputs of its own."""
        config, place = self._config, self._scope.part.place
        entries = config.get("layers", as_list)
        inputs = flatten(read_refs(config.get("input_layers", anything), f"{place}.input_layers"))
        outputs = read_refs(config.get("output_layers", anything), f"{place}.output_layers")
        if given is not None and len(given) != len(inputs):
            config.fail(f"has {len(inputs)} inputs and is called on {len(given)}")
        self._read_layers(entries)
        for position, ref in enumerate(inputs):
            layer = self._layers.get(ref.layer)
            if layer is None or layer.class_name != "InputLayer":
                config.fail(f"the input {ref.layer!a} is not an InputLayer of the model")
            self._values[ref.layer, 0] = given[position] if given else self._reader.input(ref.layer, layer.config)
        self._run([self._find(ref, is_output=True) for ref in flatten(outputs)])
        return map_tree(lambda ref: self._value(ref, is_output=True), outputs)

    def _read_layers(self, entries: list[Any]) -> None:
        reader, scope, layers = self._reader, self._scope, self._layers
        folders = FolderNames(scope.part.folder)
        for position, entry in enumerate(entries):
            place = f"{scope.part.place}.layers[{position}]"
            class_name, name, outer, inner = read_entry(entry, place)
            name = outer.get("name", text, name)
            reader.builder.call_count.add(place, f"{scope.key}{name}")
            if name in layers:
                outer.fail(f"the name {name!a} is used twice")
            nodes = outer.get("inbound_nodes", as_list, [])
            is_custom = name in reader.custom or class_name in reader.custom or not is_of_keras(class_name, outer)
            layer = FunctionalLayer(name, class_name, inner, read_calls(nodes, inner.place), is_custom)
            layer.is_keras_2 = any(isinstance(node, list) for node in nodes)
            # Operations of keras.ops have no arrays, and Keras does not count a folder for them.
            if class_name != "InputLayer" and not layer.is_operation:
                layer.caller = reader.add_part(entry, name, place, scope, folders)
            layers[name] = layer
        for ref in (ref for layer in layers.values() for call in layer.calls for ref in call.refs()):
            if ref.layer not in layers:
                raise KerasFileError(f"{scope.part.place}: a layer reads {ref.layer!a}, which does not exist")
            layers[ref.layer].calls_read.add(ref.call)

    def _run(self, outputs: list[tuple[str, int]]) -> None:
        """Make every call in Keras's order: an attention layer removes the masks of its inputs for later calls."""
        for layer in self._layers.values():
            if layer.class_name == "InputLayer" and layer.calls:
                layer.config.fail("an InputLayer is not called")
        parents = {
            (layer.name, number): [self._find(ref) for ref in call.refs()]
            for layer in self._layers.values()
            for number, call in enumerate(layer.calls)
        }
        ready = computable(parents, set(self._values))
        for name, number in parents:
            if (name, number) not in ready:
                self._config.fail(f"the graph has a cycle, or reads a value that does not exist, at {name!a}")
        known = {**dict.fromkeys(self._values, ()), **parents}
        order = run_order(known, [call for call in outputs if call in known])
        # Calls that no output depends on come last; a file of Keras 2 may have some.
        for name, number in (call for call in dict.fromkeys([*order, *ready]) if call in parents):
            layer = self._layers[name]
            call = layer.calls[number]
            output = self._operation(layer, call) if layer.caller is None else layer.caller(call, self._value)
            self._values[name, number] = output if isinstance(output, str) else flatten(output)

    def _operation(self, layer: FunctionalLayer, call: Call) -> str:
        refs = list(dict.fromkeys(call.refs()))
        inputs = {ref: Input(i) for i, ref in enumerate(refs)}
        read = read_tensorflow if layer.class_name in TENSORFLOW else read_operation
        operation = read(layer.class_name, layer.config, call, lambda ref: inputs[ref])
        if not refs:
            layer.config.fail("an operation must read at least one tensor")
        name, values = f"{self._scope.node}{layer.name}", tuple(map(self._value, refs))
        return self._reader.builder.add_operation(name, operation, values, layer.config.place)

    def _find(self, ref: Ref, is_output: bool = False) -> tuple[str, int]:
        """The call that a reference refers to."""
        if ref.layer not in self._layers:
            self._config.fail(f"the output {ref.layer!a} does not exist")
        return ref.layer, self._layers[ref.layer].call_number(ref, is_output)

    def _value(self, ref: Ref, is_output: bool = False) -> str:
        name, number = self._find(ref, is_output)
        found = self._values.get((name, number))
        if found is None:
            self._config.fail(f"call {number} of {name!a} does not exist")
        if isinstance(found, str):
            return self._reader.builder.output(found, ref.tensor)
        if ref.tensor >= len(found):
            self._config.fail(f"{name!a} has {len(found)} outputs, but the output with index {ref.tensor} is read")
        return found[ref.tensor]


@dataclass
class FunctionalLayer:
    """A layer of a Functional model, its calls, and the numbers of the calls that other layers read."""

    name: str
    class_name: str
    config: Config
    calls: list[Call]
    is_custom: bool
    is_keras_2: bool = False
    caller: Caller | None = None
    calls_read: set[int] = field(default_factory=set)

    @property
    def is_operation(self) -> bool:
        """Whether it is a function of TensorFlow, or of keras.ops.

        Some functions of keras.ops have the name of a layer, but no option `trainable`.
        """
        is_function = self.class_name in FUNCTIONS and "trainable" not in self.config.values
        return not self.is_custom and (is_function or self.class_name in TENSORFLOW)

    def call_number(self, ref: Ref, is_output: bool) -> int:
        """The number of the call that a reference refers to.

        For a model, Keras 2 also counts the call that created it; Keras 3 does so only in the references of outputs.
        """
        if self.class_name not in MODELS or not self.calls:
            return ref.call
        if self.is_keras_2:
            return ref.call if 0 in self.calls_read | {ref.call} else ref.call - 1
        return ref.call - 1 if is_output and self.class_name != SEQUENTIAL else ref.call


def read_operation(class_name: str, config: Config, call: Call, to_input: Callable[[Ref], Any]) -> Operation:
    """The operation of a node, from the options of its class and the arguments of its call."""
    own = {key: parse_argument(value, config.place) for key, value in config.values.items() if key != "name"}
    if refs_in(tuple(own.values())):
        config.fail("an option is a tensor, which only an argument of the call may be")
    options = {key: value for key, value in (own | call.kwargs).items() if value is not None}
    with error_context(config.place, "Operation: "):
        return Operation(
            FUNCTIONS[class_name],
            tuple(replace_refs(arg, to_input) for arg in call.args),
            tuple((key, replace_refs(value, to_input)) for key, value in sorted(options.items())),
        )
