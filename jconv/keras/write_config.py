"""A model into the config of a Keras Functional model.

Layers that share arrays are one Keras layer called several times; layers around layers become the options that they
were read from; operations become nodes of `keras.ops`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import jax.numpy as jnp

from ..layers import ChannelsFirst, Frozen, InDtype, Layer, Maximum, Minimum, Multiply, Operation, Pick
from ..layers.mask import MaskOf, NonzeroMask
from ..layers.operation import Input
from ..model import Model, Node
from .errors import KerasFileError
from .implicit_masks import masked_values, read_unmasked
from .kind import Kind
from .kinds import KINDS
from .kinds.operations import FUNCTIONS, write_operation
from .nested import Nested
from .order import keras_order
from .parts import Part, folder_name
from .write_masked import write_masked

# Of two kinds with one layer, the first is how it is written.
BY_LAYER = {kind.layer: kind for kind in reversed(KINDS.values())}


@dataclass
class Written:
    """A config, and its layers with the folders of their arrays."""

    config: dict[str, Any]
    parts: list[Part]


def write_model(
    model: Model, shapes: Mapping[str, Any], params: Mapping[str, Any], name: str = "functional"
) -> Written:
    """The config of a model whose inputs, by name, have `shapes`.

    Raises `KerasFileError` for a layer that Keras does not have.
    """
    return _Writer(model, shapes, params).written(name)


class _Writer:
    def __init__(self, model: Model, shapes: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        self._model, self._params = model, params
        self._shapes: dict[str, Any] = {**shapes, **model.output_shapes(dict(shapes))}
        self._entries: dict[str, dict[str, Any]] = {}
        self._parts: list[Part] = []
        self._names: dict[str, str] = {}
        # Each value's [layer, call, output].
        self._histories: dict[str, list[Any]] = {}
        self._masked_values = masked_values(model, BY_LAYER)

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
            "output_layers": [self._histories[value] for value in self._model.outputs],
        }
        if len(self._model.inputs) == 1:
            config["input_layers"] = config["input_layers"][0]
        if len(self._model.outputs) == 1:
            config["output_layers"] = config["output_layers"][0]
        entry = {"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional"}
        return Written({**entry, "config": config}, self._parts)

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
        counts: Counter[str] = Counter()
        parts = {part.name: part for part in self._parts}
        self._parts = [parts[name] for name in order if name in parts]
        for part in self._parts:
            folder = folder_name(self._entries[part.name]["class_name"])
            part.folder = f"layers/{folder}_{counts[folder]}" if counts[folder] else f"layers/{folder}"
            counts[folder] += 1

    def _input(self, value: str) -> None:
        name = self._name(value)
        readers = [node.layer for node in self._model.nodes if value in node.inputs]
        dtype = "int32" if readers and all(isinstance(_bare(r), _integer_readers()) for r in readers) else "float32"
        config = {"batch_shape": [None, *self._shapes[value]], "dtype": dtype, "sparse": False, "name": name}
        self._entries[name] = _entry("keras.layers", "InputLayer", config, name)
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
        if "mask" in getattr(_bare(layer), "inputs", ()) and isinstance(_bare(layer), (Maximum, Minimum, Multiply)):
            self._masked(node)
            return
        key = node.key
        if key not in self._names:
            self._layer(node)
        name = self._names[key]
        calls = self._entries[name]["inbound_nodes"]
        calls.append(self._call(node, name))
        self._histories[node.name] = [name, len(calls) - 1, 0]

    def _layer(self, node: Node) -> None:
        name = self._name(node.key)
        entry, kind = write_layer(node.layer, name, self._params.get(node.key, {}))
        read = tuple(self._shapes[value] for value in node.inputs)
        shape = read if node.layer.merges else read[0]
        self._parts.append(Part(name, "", node.name, node.key, kind, _as_written(node.layer), shape))
        self._entries[name] = {**entry, "name": name, "inbound_nodes": []}

    def _call(self, node: Node, name: str) -> dict[str, Any]:
        unmasked = read_unmasked(node, BY_LAYER, self._masked_values)
        tensors = [self._tensor(self._unmasked(value) if value in unmasked else value) for value in node.inputs]
        bare = _bare(node.layer)
        kind = BY_LAYER.get(type(bare))
        roles = getattr(bare, "inputs", None)
        options = {}
        if kind is not None:
            options = {arg: getattr(bare, field) for arg, field in kind.call_options.items() if getattr(bare, field)}
        if not roles or kind is None or not isinstance(roles, tuple):
            return {"args": [tensors if node.layer.merges else tensors[0]], "kwargs": options}
        given = dict(zip(roles, tensors, strict=True))
        if "query_mask" in given and "query_mask" in kind.passed_over:
            values = dict(zip(roles, node.inputs, strict=True))
            if values["query"] not in self._masked_values:
                given["attention_mask"] = self._tensor(self._attention_mask(node.name, values))
        wanted: Mapping[str, tuple[str, ...]] = kind.arguments(bare) or {
            "inputs": (next(r for r in roles if r != "mask"),)
        }
        args: list[Any] = []
        kwargs: dict[str, Any] = dict(options)
        for position, (argument, parts) in enumerate({**wanted, "mask": wanted.get("mask", ("mask",))}.items()):
            found = [given.get(part) for part in parts]
            # Without a list of masks Keras would take those of the inputs.
            unmasked = argument == "mask" and len(parts) > 1 and not self._masked_values.isdisjoint(node.inputs)
            if not any(found) and not unmasked:
                continue
            # A list of masks must have one for each input, also where the last are null.
            while found[-1] is None and argument != "mask":
                found.pop()
            value = found if len(parts) > 1 else found[0]
            if position == 0:
                args.append(value)
            else:
                kwargs[argument] = value
        return {"args": args, "kwargs": kwargs}

    def _attention_mask(self, name: str, values: Mapping[str, str]) -> str:
        """The attention mask with that of the queries, which Keras does not heed where a call says it."""
        made = f"{name}/queries"
        self._shapes[made] = (*self._shapes[values["query_mask"]], 1)
        self._operation(made, Operation("expand_dims", options=(("axis", -1),)), (values["query_mask"],))
        if "attention_mask" not in values:
            return made
        mask = values["attention_mask"]
        if len(self._shapes[mask]) == 3:
            heads = f"{made}/heads"
            self._shapes[heads] = (1, *self._shapes[made])
            self._operation(heads, Operation("expand_dims", options=(("axis", 1),)), (made,))
            made = heads
        both = f"{name}/attention_mask"
        self._shapes[both] = self._shapes[mask]
        self._operation(both, Operation("logical_and", (Input(0), Input(1))), (mask, made))
        return both

    def _unmasked(self, value: str) -> str:
        """The same value without its mask: what comes from an operation has none."""
        name = f"{value}/unmasked"
        if name not in self._histories:
            self._shapes[name] = self._shapes[value]
            self._operation(name, Operation("add", (Input(0), 0)), (value,))
        return name

    def _operation(self, value: str, layer: Operation, inputs: tuple[str, ...]) -> None:
        name = self._name(value)
        module, class_name, config, args, kwargs = write_operation(
            layer, lambda i: self._tensor(inputs[i.index]), ascii(value)
        )
        entry = _entry(module, class_name, {"name": name, **config}, name)
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

    def _masked(self, node: Node) -> None:
        layer = node.layer.layer if isinstance(node.layer, Frozen) else node.layer
        if not isinstance(layer, (Maximum, Minimum, Multiply)):
            raise KerasFileError(f"node {node.name!r}: {type(layer).__name__} around a layer with masks is not written")
        made: list[str] = []

        def add(operation: Operation, inputs: tuple[str, ...]) -> str:
            made.append(f"{node.name}/step{len(made)}")
            read = tuple(self._shapes[value] for value in inputs)
            self._shapes[made[-1]] = operation.output_shape(read if operation.merges else read[0])
            self._operation(made[-1], operation, inputs)
            return made[-1]

        self._histories[node.name] = self._histories[write_masked(layer, node.inputs, self._shapes, add)]

    def _tensor(self, value: str) -> dict[str, Any]:
        shape = self._shapes[value]
        history = self._histories[value]
        config = {"shape": [None, *shape], "dtype": "float32", "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}

    def _name(self, key: str) -> str:
        # Keras allows no slash in a name.
        base = name = key.replace("/", "_").replace(":", "_")
        number = 1
        while name in self._entries:
            number += 1
            name = f"{base}_{number}"
        self._names[key] = name
        return name


def write_layer(layer: Layer, name: str, params: Mapping[str, Any]) -> tuple[dict[str, Any], Kind | None]:
    """`(entry, kind)` of a layer, in the form that Keras serializes it in.

    Raises `KerasFileError` for a layer that Keras does not have and for an activation that has no name.
    """
    policy, trainable, first = "float32", True, False
    bare = layer
    while isinstance(bare, (InDtype, ChannelsFirst, Frozen)):
        if isinstance(bare, InDtype):
            policy = _policy(bare.dtype, params)
        trainable = trainable and not isinstance(bare, Frozen)
        first = first or isinstance(bare, ChannelsFirst)
        bare = bare.layer
    if isinstance(bare, Nested):
        return _write_nested(bare, name).config, None
    kind = BY_LAYER.get(type(bare))
    if kind is None:
        raise KerasFileError(f"node {name!r}: Keras has no layer for {type(bare).__name__}")

    def inner(layer: Layer, name: str) -> dict[str, Any]:
        return write_layer(layer, name, params)[0]

    common: dict[str, Any] = {"name": name, "dtype": policy}
    # Not every layer of Keras takes the option; with those that have the name of an operation it tells the two apart.
    if not trainable or kind.name in FUNCTIONS:
        common["trainable"] = trainable
    if first and not kind.channels_first:
        raise KerasFileError(f"node {name!r}: Keras's {kind.name} has no data_format")
    if kind.channels_first:
        common["data_format"] = "channels_first" if first else "channels_last"
    try:
        config = {**common, **kind.config(bare, inner)}
    except (ValueError, TypeError) as error:
        raise KerasFileError(f"node {name!r}: {error}") from None
    return _entry("keras.layers", kind.name, config, name), kind


def _write_nested(layer: Nested, name: str) -> Written:
    shapes = dict(zip(layer.model.inputs, layer.model.input_shapes or (), strict=True))
    return write_model(layer.model, shapes, {}, name)


def _as_written(layer: Layer) -> Layer:
    """The layer, with the models in it saying in which folders they are written, which need not be those read."""
    if isinstance(layer, Nested):
        parts = _write_nested(layer, "model").parts
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


def _policy(dtype: str, params: Mapping[str, Any]) -> str:
    floats = [a.dtype for a in map(jnp.asarray, params.values()) if jnp.issubdtype(a.dtype, jnp.floating)]
    return f"mixed_{dtype}" if dtype in ("bfloat16", "float16") and all(d == jnp.float32 for d in floats) else dtype


def _entry(module: str, class_name: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
        "name": name,
        "inbound_nodes": [],
    }


def _bare(layer: Layer) -> Layer:
    while isinstance(layer, (ChannelsFirst, Frozen, InDtype)):
        layer = layer.layer
    return layer


def _integer_readers() -> tuple[type, ...]:
    kinds = (KINDS.get("Embedding"),)
    return (NonzeroMask, *(kind.layer for kind in kinds if kind is not None))
