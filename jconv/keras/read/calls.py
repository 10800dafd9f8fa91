"""The calls of layers in a config: Keras 3's nested arguments and Keras 2's lists, in one form.

Arguments, inputs and outputs are trees of tuples and dicts; dicts are in the order of their sorted keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...layers.operations.operation import Constant, Slice
from ..files.errors import KerasFileError
from ..files.limits import MAX_ITEMS
from ..kinds.config import Config, anything, as_dict, as_list, integer, one_of, optional, shortened, text

# What Keras 2 writes in place of the layer and the call if an argument is an array and not a tensor.
KERAS_2_CONSTANT = ["_CONSTANT_VALUE", -1]
DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@dataclass(frozen=True)
class Ref:
    """A reference to a tensor: the output with index `tensor` of the call with index `call` of a layer."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One call of a layer. Arguments are trees of tuples and dicts with `Ref`s and constants as leaves."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def refs(self) -> list[Ref]:
        """Every `Ref` in the arguments."""
        return refs_in((self.args, tuple(self.kwargs.values())))


def refs_in(tree: Any) -> list[Ref]:
    """Every `Ref` in a tree; dicts in the order of their sorted keys, as in Keras."""
    return [leaf for leaf in flatten(tree) if isinstance(leaf, Ref)]


def replace_refs(value: Any, to_input: Callable[[Ref], Any]) -> Any:
    """The argument with `to_input(ref)` in place of each `Ref`."""
    return map_tree(lambda leaf: to_input(leaf) if isinstance(leaf, Ref) else leaf, value)


def read_calls(nodes: list[Any], place: str) -> list[Call]:
    """The calls of a layer, from its `inbound_nodes`."""
    return [_keras_3_call(node, place) if isinstance(node, dict) else _keras_2_call(node, place) for node in nodes]


def read_ref(value: Any, place: str) -> Ref:
    """A `Ref` from `[layer, call, tensor]`."""
    if not _is_ref(value):
        raise KerasFileError(f"{place}: a tensor must be [layer, call, output], got {shortened(value)}")
    if value[1] < 0 or value[2] < 0:
        raise KerasFileError(f"{place}: call and output are counted from 0, got {shortened(value)}")
    return Ref(*value)


def read_refs(value: Any, place: str) -> Any:
    """A tree of `Ref`s, from the lists and dicts of `input_layers` and `output_layers`."""
    if isinstance(value, dict):
        return {key: read_refs(part, place) for key, part in value.items()}
    if isinstance(value, list) and not _is_ref(value):
        return tuple(read_refs(part, place) for part in value)
    return read_ref(value, place)


def _is_ref(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 3 or not isinstance(value[0], str):
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) for n in value[1:])


def _keras_3_call(node: dict[str, Any], place: str) -> Call:
    config = Config(node, f"{place}, inbound_nodes")
    args = parse_argument(config.get("args", as_list, []), place)
    kwargs = config.get("kwargs", as_dict, {})
    return Call(args, {name: parse_argument(value, place) for name, value in kwargs.items()})


def _keras_2_call(node: Any, place: str) -> Call:
    """A call from `[[layer, call, tensor, kwargs], ...]`, or from a single such entry."""
    entries = [node] if isinstance(node, list) and node and isinstance(node[0], str) else node
    if not isinstance(entries, list) or not all(isinstance(e, list) and len(e) in (3, 4) for e in entries):
        raise KerasFileError(f"{place}: a call must be a list of [layer, call, output], got {shortened(node)}")
    refs = tuple(_keras_2_argument(e[:3], place) if _is_constant(e) else read_ref(e[:3], place) for e in entries)
    kwargs: dict[str, Any] = {}
    for entry in entries:
        if len(entry) == 4:
            if not isinstance(entry[3], dict):
                raise KerasFileError(f"{place}: the options of a call must be an object, got {shortened(entry[3])}")
            kwargs |= {name: _keras_2_argument(value, place) for name, value in entry[3].items()}
    return Call((refs[0] if len(refs) == 1 else refs,) if refs else (), kwargs)


def _is_constant(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and value[:2] == KERAS_2_CONSTANT


def _keras_2_argument(value: Any, place: str) -> Any:
    if _is_constant(value):
        return parse_argument(value[2], place)
    if _is_ref(value):
        return read_ref(value, place)
    if isinstance(value, list) and any(_is_ref(part) for part in value):
        return tuple(_keras_2_argument(part, place) for part in value)
    return parse_argument(value, place)


def parse_argument(value: Any, place: str) -> Any:
    """An argument of a call as Keras 3 writes it: tensors, slices, arrays and plain values, in lists and dicts."""
    if isinstance(value, list):
        return tuple(parse_argument(part, place) for part in value)
    if not isinstance(value, dict):
        return value
    if value == {"class_name": "__ellipsis__"}:
        return ...
    if "class_name" not in value or "config" not in value:
        return {key: parse_argument(part, place) for key, part in value.items()}
    config = Config(value, f"{place}, an argument")
    name = config.get("class_name", text)
    inner = Config(config.get("config", as_dict), f"{place}, an argument of class {name}")
    if name == "__keras_tensor__":
        return read_ref(inner.get("keras_history", as_list), place)
    if name == "__slice__":
        return Slice(*(inner.get(key, optional(integer), None) for key in ("start", "stop", "step")))
    if name == "__ellipsis__":
        return ...
    if name in ("__numpy__", "__tensor__"):
        return Constant(_nested_numbers(inner.get("value", anything), place), inner.get("dtype", one_of(*DTYPES)))
    return inner.fail("arguments of this class are not supported; nothing is imported")


def as_constant(value: Any) -> Any:
    """A `Constant` from nested tuples of numbers, which is how Keras 2 writes an array; other values unchanged.

    >>> as_constant(((True, False), (True, True)))
    Constant(values=((True, False), (True, True)), dtype='bool')
    """
    leaves = [value]
    while leaves and isinstance(leaves[0], tuple):
        leaves = [part for tree in leaves if isinstance(tree, tuple) for part in tree]
    is_array = isinstance(value, tuple) and leaves and all(isinstance(leaf, (bool, int, float)) for leaf in leaves)
    if not is_array:
        return value
    types = {type(leaf) for leaf in leaves}
    return Constant(value, "bool" if types == {bool} else "int32" if types == {int} else "float32")


def _nested_numbers(value: Any, place: str) -> Any:
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise KerasFileError(f"{place}: a constant has {len(value):,} rows; more than {MAX_ITEMS:,} are refused")
        return tuple(_nested_numbers(part, place) for part in value)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise KerasFileError(f"{place}: a constant must contain finite numbers, got {shortened(value)}")
    return value


def flatten(tree: Any) -> list[Any]:
    """The leaves of a tree.

    >>> flatten({"b": 1, "a": (2, (3,))})
    [2, 3, 1]
    """
    if isinstance(tree, dict):
        tree = tuple(tree[key] for key in sorted(tree))
    return [leaf for part in tree for leaf in flatten(part)] if isinstance(tree, tuple) else [tree]


def named_leaves(tree: Any) -> list[tuple[str | None, Any]]:
    """`(key, leaf)` of each leaf; the key is from the outermost dict, and None for other trees.

    >>> named_leaves({"b": 1, "a": (2, 3)}), named_leaves((1, 2))
    ([('a', 2), ('a', 3), ('b', 1)], [(None, 1), (None, 2)])
    """
    items = sorted(tree.items()) if isinstance(tree, dict) else [(None, tree)]
    return [(key, leaf) for key, part in items for leaf in flatten(part)]


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function(leaf)` in place of each leaf."""
    if isinstance(tree, dict):
        return {key: map_tree(function, part) for key, part in tree.items()}
    return tuple(map_tree(function, part) for part in tree) if isinstance(tree, tuple) else function(tree)
