"""A model as the config of a Keras Functional model.

Nodes that share arrays become calls of one layer; operations become nodes of `keras.ops`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...layers import ChannelsFirst, Layer, Operation, Pick
from ...layers.mask import MaskOf, NonzeroMask
from ...layers.nesting import strip_prefix, unwrap
from ...layers.operations.operation import Input
from ...layers.wrapper import Wrapper
from ...model.graph import Model, Node
from ..files.errors import KerasFileError
from ..files.json_text import is_unicode
from ..layers import NestedModel
from ..read.call_order import layer_order
from ..read.graph import build
from ..read.layer import SEQUENTIAL
from ..read.loaded_model import LoadedModel
from ..read.parts import FolderNames, ModelPart
from .call import call_arguments
from .explicit_masks import Steps, as_attention_masks, merge_by_masks
from .implicit_masks import (
    computes_the_same,
    differing_nodes,
    has_masks,
    makes_masks,
    mask_operations,
    merges_masks,
    without_inner_masks,
)
from .inner_models import fold_inner_models
from .input_type import reads_integers
from .layer import layer_entry, write_layer
from .operations import write_operation
from .sequential import as_sequential


@dataclass
class WrittenModel:
    """A config, the root of its parts, and the `names` of its layers by the keys of the model."""

    config: dict[str, Any]
    root: ModelPart
    names: dict[str, str]


def write_model(
    model: Model, shapes: Mapping[str, Any], arrays: Mapping[str, Any], name: str = "functional"
) -> WrittenModel:
    """The config of a model with the `shapes` of its inputs by name, and the `arrays` of its nodes by key.

    Nested models are written as nested models if the model was loaded with them, otherwise as their layers.

    Raises `KerasFileError` for a layer that Keras does not have.
    """
    all_shapes = model.all_shapes(shapes)
    if not has_masks(model):
        model = as_attention_masks(model, all_shapes, [node.name for node in model.nodes])
        return _Writer(fold_inner_models(model, all_shapes), shapes, arrays).write(name)
    for flat in (without_inner_masks(model), model):
        folded = fold_inner_models(flat, all_shapes)
        if folded is not flat:
            written = _Writer(folded, shapes, arrays, has_masks=True).write(name)
            if computes_the_same(model, build(written.config, {}).model, written.names):
                return written
    # Nodes to which Keras would pass other masks than the model passes are called on values without masks.
    unmasked: list[str] = []
    while True:
        model = as_attention_masks(model, all_shapes, unmasked)
        written = _Writer(model, shapes, arrays, unmasked, makes_masks(model)).write(name)
        differing = differing_nodes(model, build(written.config, {}).model, written.names)
        if not differing:
            return written
        if set(differing) <= set(unmasked):
            raise KerasFileError(f"node {differing[0]!r}: Keras has no way to give it the masks that it reads here")
        unmasked += differing


def _write_nested(layer: NestedModel, name: str, arrays: Mapping[str, Any]) -> WrittenModel:
    own = {node.key: strip_prefix(node.key, arrays) for node in layer.model.nodes}
    return write_model(layer.model, layer.model.named_shapes(), own, name)


class _Writer:
    """Writes a model. With `has_masks`, Keras propagates masks in it, but not to the nodes `unmasked`."""

    def __init__(
        self,
        model: Model,
        shapes: Mapping[str, Any],
        arrays: Mapping[str, Any],
        unmasked: Collection[str] = (),
        has_masks: bool = False,
    ) -> None:
        self._model, self._arrays, self._unmasked, self._has_masks = model, arrays, unmasked, has_masks
        self._shapes = model.all_shapes(shapes)
        self._entries: dict[str, dict[str, Any]] = {}
        self._parts: list[ModelPart] = []
        # The names of layers by key; a key may be the name of an input, too.
        self._names: dict[str, str] = {}
        # The [layer, call, output] of each value.
        self._histories: dict[str, list[Any]] = {}

    def write(self, name: str) -> WrittenModel:
        """The complete config."""
        model = self._model
        for value in model.inputs:
            self._write_input(value)
        for node in model.nodes:
            self._write_node(node)
        self._sort_layers()
        inputs = [self._histories[value] for value in model.inputs]
        outputs = [self._output(value) for value in model.outputs]
        config = {
            "name": name,
            "trainable": True,
            "layers": list(self._entries.values()),
            "input_layers": inputs[0] if len(inputs) == 1 else inputs,
            "output_layers": outputs[0] if len(outputs) == 1 else outputs,
        }
        entry = {"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional"}
        if getattr(model, "class_name", "") == SEQUENTIAL:
            entry, config = as_sequential(config) or (entry, config)
        return WrittenModel({**entry, "config": config}, ModelPart(name, "", "config", parts=self._parts), self._names)

    def _output(self, value: str) -> list[Any]:
        """The history of an output, in which Keras also counts the call that created a Functional model."""
        name, call, output = self._histories[value]
        return [name, call + (self._entries[name]["class_name"] == "Functional"), output]

    def _sort_layers(self) -> None:
        """Sort the layers into Keras's order, by which their folders are numbered."""
        calls = {
            (name, number): [tuple(ref[:2]) for ref in _histories([call["args"], call["kwargs"]])]
            for name, entry in self._entries.items()
            for number, call in enumerate(entry["inbound_nodes"] or [{"args": [], "kwargs": {}}])
        }
        order = layer_order(calls, [tuple(self._histories[value][:2]) for value in self._model.outputs])
        order += [name for name in self._entries if name not in order]
        self._entries = {name: self._entries[name] for name in order}
        parts = {part.name: part for part in self._parts}
        self._parts = [parts[name] for name in order if name in parts]
        folders = FolderNames("")
        for part in self._parts:
            part.folder = folders.next(self._entries[part.name]["class_name"])
            for inner in part.descendants():
                inner.folder = f"{part.folder}/{inner.folder}"

    def _write_input(self, value: str) -> None:
        name = self._unique_name(value)
        dtype = dict(getattr(self._model, "input_types", ())).get(value)
        dtype = dtype or ("int32" if reads_integers(self._model, value) else "float32")
        config = {"batch_shape": [None, *self._shapes[value]], "dtype": dtype, "sparse": False, "name": name}
        self._entries[name] = layer_entry("keras.layers", "InputLayer", config, name)
        self._histories[value] = [name, 0, 0]

    def _write_node(self, node: Node) -> None:
        layer = node.layer
        if isinstance(layer, Pick):
            self._histories[node.name] = [*self._histories[node.inputs[0]][:2], layer.index]
        elif isinstance(layer, (MaskOf, NonzeroMask)):
            value, operations = node.inputs[0], mask_operations(layer)
            for number, operation in enumerate(operations):
                name = node.name if number == len(operations) - 1 else f"{node.name}/differs"
                self._shapes[name] = operation.output_shape(self._shapes[value])
                self._write_operation(name, operation, (value,))
                value = name
        elif isinstance(layer, Operation):
            self._write_operation(node.name, layer, node.inputs)
        # Keras's merging layers have no data_format.
        elif merges_masks(layer) and (node.name in self._unmasked or _is_channels_first(layer)):
            self._histories[node.name] = self._histories[self._merge_in_operations(node)]
        else:
            self._write_call(self._on_unmasked_inputs(node) if node.name in self._unmasked else node)

    def _write_call(self, node: Node) -> None:
        layer, key = node.layer, node.key
        if key not in self._names:
            self._names[key] = self._unique_name(key)
            if isinstance(layer, NestedModel) and isinstance(layer.model, LoadedModel):
                self._write_inner_model(node, layer.model)
            else:
                self._write_layer(node)
        name = self._names[key]
        calls = self._entries[name]["inbound_nodes"]
        calls.append(call_arguments(node, [self._tensor(value) for value in node.inputs], self._has_masks))
        self._histories[node.name] = [name, len(calls) - 1, 0]

    def _on_unmasked_inputs(self, node: Node) -> Node:
        """The node with unmasked inputs: an operation multiplies each by 1, and its output has no mask."""
        roles = getattr(unwrap(node.layer), "inputs", ())
        inputs = list(node.inputs)
        for i, value in enumerate(node.inputs):
            if not (i < len(roles) and roles[i].endswith("mask")):
                inputs[i] = f"{value}/unmasked"
                self._shapes[inputs[i]] = self._shapes[value]
                if inputs[i] not in self._histories:
                    self._write_operation(inputs[i], Operation("multiply", (Input(0), 1)), (value,))
        return replace(node, inputs=tuple(inputs))

    def _write_layer(self, node: Node) -> None:
        name, arrays = self._names[node.key], self._arrays.get(node.key, {})
        entry, kind = write_layer(node.layer, name, arrays, lambda *nested: _write_nested(*nested).config)
        shape = node.select(self._shapes)
        part = ModelPart(name, "", node.name, node.key, kind, _with_written_folders(node.layer), shape)
        part.class_name, part.config = entry["class_name"], entry["config"]
        self._parts.append(part)
        self._entries[name] = {**entry, "name": name, "inbound_nodes": []}

    def _write_inner_model(self, node: Node, model: LoadedModel) -> None:
        name = self._names[node.key]
        arrays = {n.key: self._arrays.get(f"{node.key}/{n.key}", {}) for n in model.nodes}
        folded = fold_inner_models(model, model.all_shapes())
        written = _Writer(folded, model.named_shapes(), arrays, has_masks=self._has_masks).write(name)
        part = ModelPart(name, "", node.name, node.key, parts=written.root.parts)
        for inner in part.descendants():
            inner.key = f"{node.key}/{inner.key}"
        self._names |= {f"{node.key}/{key}": f"{name}/{own}" for key, own in written.names.items()}
        self._parts.append(part)
        self._entries[name] = {**written.config, "name": name, "inbound_nodes": []}

    def _write_operation(self, value: str, layer: Operation, inputs: tuple[str, ...]) -> None:
        name = self._unique_name(value)
        module, class_name, config, args, kwargs = write_operation(layer, lambda i: self._tensor(inputs[i.index]))
        entry = layer_entry(module, class_name, {"name": name, **config}, name)
        call = {"args": args, "kwargs": kwargs}
        self._entries[name] = {**entry, "registered_name": class_name, "inbound_nodes": [call]}
        self._histories[value] = [name, 0, 0]

    def _merge_in_operations(self, node: Node) -> str:
        """Write operations in place of a merging layer that reads masks. Returns the name of their output."""
        steps = Steps(node.name, self._shapes)
        output = merge_by_masks(node.layer, node.inputs, steps)
        for step in steps.nodes:
            self._write_node(step)
        return output

    def _tensor(self, value: str) -> dict[str, Any]:
        config = {
            "shape": [None, *self._shapes[value]],
            "dtype": "float32",
            "keras_history": self._histories[value],
        }
        return {"class_name": "__keras_tensor__", "config": config}

    def _unique_name(self, key: str) -> str:
        if not is_unicode(key) or "\0" in key:
            raise KerasFileError(f"node {key!a}: the name of a layer in a file must be Unicode without null characters")
        # Keras allows no slash in a name.
        base = name = key.replace("/", "_").replace(":", "_")
        number = 1
        while name in self._entries:
            number += 1
            name = f"{base}_{number}"
        return name


def _with_written_folders(layer: Layer) -> Layer:
    """The layer, with the folders in which its nested models are written."""
    if isinstance(layer, NestedModel):
        parts = _write_nested(layer, "model", {}).root.leaves()
        written = {part.key: part.layer for part in parts}
        nodes = tuple(replace(node, layer=written.get(node.key) or node.layer) for node in layer.model.nodes)
        return NestedModel(replace(layer.model, nodes=nodes), tuple((part.key, part.folder) for part in parts))
    inner = {f.name: v for f in fields(layer) if isinstance(v := getattr(layer, f.name), Layer)}
    return replace(layer, **{name: _with_written_folders(v) for name, v in inner.items()}) if inner else layer


def _histories(tree: Any) -> list[Any]:
    """The histories of all tensors of an argument in Keras's order: dicts by sorted keys."""
    if isinstance(tree, dict):
        if tree.get("class_name") == "__keras_tensor__":
            return [tree["config"]["keras_history"]]
        return [history for key in sorted(tree) for history in _histories(tree[key])]
    return [history for part in tree for history in _histories(part)] if isinstance(tree, list) else []


def _is_channels_first(layer: Layer) -> bool:
    return isinstance(layer, Wrapper) and (isinstance(layer, ChannelsFirst) or _is_channels_first(layer.layer))
