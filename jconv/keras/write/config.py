"""A model into the config of a Keras Functional model.

Layers that share arrays are one Keras layer called several times; operations become nodes of `keras.ops`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...layers import Activation, ChannelsFirst, InDtype, Layer, Operation, Pick
from ...layers.mask import MaskOf, NonzeroMask
from ...layers.nesting import unwrap
from ...layers.operations.operation import Input
from ...layers.wrapper import Wrapper
from ...model.graph import Model, Node
from ..files.errors import KerasFileError
from ..files.json_text import is_unicode
from ..kinds.operations import write_operation
from ..read.graph import SEQUENTIAL, build
from ..read.inner import LoadedModel, folded
from ..read.nested import Nested
from ..read.order import keras_order
from ..read.parts import Folders, Part
from .call import call_of
from .implicit_masks import differing, has_masks, makes_masks, merges_masks
from .integers import reads_integers
from .layer import entry_of_class, write_layer, write_nested
from .masked import write_masked
from .nested_masks import computes_the_same, without_handed_on
from .query_masks import as_attention_masks
from .sequential import as_sequential


@dataclass
class Written:
    """A config, its layers and models with the folders of their arrays, and their `names` by the model's keys."""

    config: dict[str, Any]
    root: Part
    names: dict[str, str]


def write_model(
    model: Model, shapes: Mapping[str, Any], arrays: Mapping[str, Any], name: str = "functional"
) -> Written:
    """The config of a model whose inputs, by name, have `shapes`, and whose nodes, by their keys, have `arrays`.

    Models inside it are written as such where it says that it was loaded with them, and else as their layers. Raises
    `KerasFileError` for a layer that Keras does not have.
    """
    all_shapes = {**shapes, **model.output_shapes(dict(shapes))}
    if not has_masks(model):
        every = as_attention_masks(model, all_shapes, [node.name for node in model.nodes])
        return _Writer(folded(every, all_shapes), shapes, arrays).written(name)
    for flat in (without_handed_on(model), model):
        whole = folded(flat, all_shapes)
        if whole is not flat:
            written = _Writer(whole, shapes, arrays, masking=True).written(name)
            if computes_the_same(model, build(written.config, {}).model, written.names):
                return written
    apart: list[str] = []
    while True:
        model = as_attention_masks(model, all_shapes, apart)
        written = _Writer(model, shapes, arrays, apart, makes_masks(model)).written(name)
        differ = differing(model, build(written.config, {}).model, written.names)
        if not differ:
            return written
        if set(differ) <= set(apart):
            raise KerasFileError(f"node {differ[0]!r}: Keras has no way to give it the masks that it reads here")
        apart += differ


class _Writer:
    """Writes a model; with `masking` Keras hands on masks behind the scenes, of which the nodes `apart` get none."""

    def __init__(
        self,
        model: Model,
        shapes: Mapping[str, Any],
        arrays: Mapping[str, Any],
        apart: Collection[str] = (),
        masking: bool = False,
    ) -> None:
        self._model, self._arrays, self._apart, self._masking = model, arrays, apart, masking
        self._shapes: dict[str, Any] = {**shapes, **model.output_shapes(dict(shapes))}
        self._entries: dict[str, dict[str, Any]] = {}
        self._parts: list[Part] = []
        # The names of layers by the keys of their arrays, which may be the names of inputs too.
        self.names: dict[str, str] = {}
        # Each value's [layer, call, output].
        self._histories: dict[str, list[Any]] = {}

    def written(self, name: str) -> Written:
        """The whole config."""
        for value in self._model.inputs:
            self._input(value)
        for node in self._model.nodes:
            self._node(node)
        self._settle()
        config = {
            "name": name,
            "trainable": True,
            "layers": list(self._entries.values()),
            "input_layers": [self._histories[value] for value in self._model.inputs],
            "output_layers": [self._output(value) for value in self._model.outputs],
        }
        if len(self._model.inputs) == 1:
            config["input_layers"] = config["input_layers"][0]
        if len(self._model.outputs) == 1:
            config["output_layers"] = config["output_layers"][0]
        entry = {"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional"}
        if getattr(self._model, "class_name", "") == SEQUENTIAL:
            entry, config = as_sequential(config) or (entry, config)
        return Written({**entry, "config": config}, Part(name, "", "config", parts=self._parts), self.names)

    def _output(self, value: str) -> list[Any]:
        """The history of an output, among which Keras counts the call that made a Functional model as one."""
        name, call, output = self._histories[value]
        return [name, call + (self._entries[name]["class_name"] == "Functional"), output]

    def _settle(self) -> None:
        """Bring the layers into Keras's order, by which it numbers their folders."""
        calls = {
            (name, number): [tuple(ref[:2]) for ref in _histories(call["args"]) + _histories(call["kwargs"])]
            for name, entry in self._entries.items()
            for number, call in enumerate(entry["inbound_nodes"] or [{"args": [], "kwargs": {}}])
        }
        order = keras_order(calls, [tuple(self._histories[value][:2]) for value in self._model.outputs])
        order += [name for name in self._entries if name not in order]
        self._entries = {name: self._entries[name] for name in order}
        parts = {part.name: part for part in self._parts}
        self._parts = [parts[name] for name in order if name in parts]
        folders = Folders("")
        for part in self._parts:
            part.folder = folders.of(self._entries[part.name]["class_name"])
            for inner in part.below():
                inner.folder = f"{part.folder}/{inner.folder}"

    def _input(self, value: str) -> None:
        name = self._name(value)
        said = dict(getattr(self._model, "input_types", ())).get(value)
        dtype = said or ("int32" if reads_integers(self._model, value) else "float32")
        config = {"batch_shape": [None, *self._shapes[value]], "dtype": dtype, "sparse": False, "name": name}
        self._entries[name] = entry_of_class("keras.layers", "InputLayer", config, name)
        self._histories[value] = [name, 0, 0]

    def _node(self, node: Node) -> None:
        layer = node.layer
        if isinstance(layer, Pick):
            above = self._histories[node.inputs[0]]
            self._histories[node.name] = [*above[:2], layer.index]
            return
        if isinstance(layer, (MaskOf, NonzeroMask)):
            self._mask(node, layer)
            return
        if isinstance(layer, Operation):
            self._operation(node.name, layer, node.inputs)
            return
        # No merging layer of Keras has a data_format.
        if merges_masks(layer) and (node.name in self._apart or _is_channels_first(layer)):
            self._in_operations(node)
            return
        if node.name in self._apart:
            node = self._unmasked(node)
        key = node.key
        inner = layer.model if isinstance(layer, Nested) and isinstance(layer.model, LoadedModel) else None
        if key not in self.names:
            self._inner(node, inner) if inner is not None else self._layer(node)
        name = self.names[key]
        calls = self._entries[name]["inbound_nodes"]
        calls.append(call_of(node, [self._tensor(value) for value in node.inputs], self._masking))
        self._histories[node.name] = [name, len(calls) - 1, 0]

    def _unmasked(self, node: Node) -> Node:
        """The node on inputs that are operations' outputs, which have no mask."""
        roles = getattr(unwrap(node.layer), "inputs", ())
        inputs = list(node.inputs)
        for i, value in enumerate(node.inputs):
            if not (i < len(roles) and roles[i].endswith("mask")):
                inputs[i] = f"{value}/unmasked"
                self._shapes[inputs[i]] = self._shapes[value]
                if inputs[i] not in self._histories:
                    self._operation(inputs[i], Operation("multiply", (Input(0), 1)), (value,))
        return replace(node, inputs=tuple(inputs))

    def _layer(self, node: Node) -> None:
        name = self.names[node.key] = self._name(node.key)
        entry, kind = write_layer(node.layer, name, self._arrays.get(node.key, {}))
        read = tuple(self._shapes[value] for value in node.inputs)
        shape = read if node.layer.has_several_inputs else read[0]
        part = Part(name, "", node.name, node.key, kind, _as_written(node.layer), shape)
        part.class_name, part.config = entry["class_name"], entry["config"]
        self._parts.append(part)
        self._entries[name] = {**entry, "name": name, "inbound_nodes": []}

    def _inner(self, node: Node, model: LoadedModel) -> None:
        """A model, which is called as a layer is."""
        name = self.names[node.key] = self._name(node.key)
        arrays = {n.key: self._arrays.get(f"{node.key}/{n.key}", {}) for n in model.nodes}
        shapes = model.named_shapes()
        whole = folded(model, {**shapes, **model.output_shapes()})
        written = _Writer(whole, shapes, arrays, masking=self._masking).written(name)
        part = Part(name, "", node.name, node.key, parts=written.root.parts)
        for inner in part.below():
            inner.key = f"{node.key}/{inner.key}"
        self.names |= {f"{node.key}/{key}": f"{name}/{own}" for key, own in written.names.items()}
        self._parts.append(part)
        self._entries[name] = {**written.config, "name": name, "inbound_nodes": []}

    def _operation(self, value: str, layer: Operation, inputs: tuple[str, ...]) -> None:
        name = self._name(value)
        module, class_name, config, args, kwargs = write_operation(
            layer, lambda i: self._tensor(inputs[i.index]), ascii(value)
        )
        entry = entry_of_class(module, class_name, {"name": name, **config}, name)
        entry["registered_name"] = class_name
        entry["inbound_nodes"] = [{"args": args, "kwargs": kwargs}]
        self._entries[name] = entry
        self._histories[value] = [name, 0, 0]

    def _mask(self, node: Node, layer: MaskOf | NonzeroMask) -> None:
        against = layer.mask_value if isinstance(layer, MaskOf) else 0
        differs = Operation("not_equal", (Input(0), against))
        if isinstance(layer, NonzeroMask):
            self._operation(node.name, differs, node.inputs)
            return
        value = f"{node.name}/differs"
        self._shapes[value] = self._shapes[node.inputs[0]]
        self._operation(value, differs, node.inputs)
        self._operation(node.name, Operation("any", options=(("axis", -1), ("keepdims", False))), (value,))

    def _in_operations(self, node: Node) -> None:
        made: list[str] = []

        def add(operation: Operation, inputs: tuple[str, ...]) -> str:
            made.append(f"{node.name}/step{len(made)}")
            read = tuple(self._shapes[value] for value in inputs)
            self._shapes[made[-1]] = operation.output_shape(read if operation.has_several_inputs else read[0])
            self._operation(made[-1], operation, inputs)
            return made[-1]

        def cast(value: str, dtype: str) -> str:
            made.append(f"{node.name}/step{len(made)}")
            self._shapes[made[-1]] = self._shapes[value]
            # An operation has no type of its own, a layer has.
            self._node(Node(made[-1], InDtype(Activation("linear"), dtype), (value,)))
            return made[-1]

        self._histories[node.name] = self._histories[write_masked(node.layer, node.inputs, self._shapes, add, cast)]

    def _tensor(self, value: str) -> dict[str, Any]:
        shape = self._shapes[value]
        history = self._histories[value]
        config = {"shape": [None, *shape], "dtype": "float32", "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}

    def _name(self, key: str) -> str:
        if not is_unicode(key) or "\0" in key:
            raise KerasFileError(f"node {key!a}: the name of a layer in a file must be Unicode without null characters")
        # Keras allows no slash in a name.
        base = name = key.replace("/", "_").replace(":", "_")
        number = 1
        while name in self._entries:
            number += 1
            name = f"{base}_{number}"
        return name


def _as_written(layer: Layer) -> Layer:
    """The layer, with the models in it saying in which folders they are written, which need not be those read."""
    if isinstance(layer, Nested):
        parts = write_nested(layer, "model", {}).root.leaves()
        written = {part.key: part.layer for part in parts}
        nodes = tuple(replace(node, layer=written.get(node.key) or node.layer) for node in layer.model.nodes)
        return Nested(replace(layer.model, nodes=nodes), tuple((part.key, part.folder) for part in parts))
    inner = {f.name: v for f in fields(layer) if isinstance(v := getattr(layer, f.name), Layer)}
    return replace(layer, **{name: _as_written(v) for name, v in inner.items()}) if inner else layer


def _histories(tree: Any) -> list[Any]:
    """The histories of all tensors of an argument, as Keras walks it: dicts by sorted keys."""
    if isinstance(tree, dict):
        if tree.get("class_name") == "__keras_tensor__":
            return [tree["config"]["keras_history"]]
        return [history for key in sorted(tree) for history in _histories(tree[key])]
    return [history for part in tree for history in _histories(part)] if isinstance(tree, list) else []


def _is_channels_first(layer: Layer) -> bool:
    """Whether a layer is channels first, maybe inside others."""
    return isinstance(layer, Wrapper) and (isinstance(layer, ChannelsFirst) or _is_channels_first(layer.layer))
