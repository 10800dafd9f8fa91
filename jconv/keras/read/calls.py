"""How a config says which layer is called on what: Keras 3's nested arguments and Keras 2's lists, in one form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...layers.operations.operation import Constant, Slice
from ..files.errors import KerasFileError
from ..files.limits import MOST_PARTS
from ..kinds.config import Config, as_dict, as_list, integer, shortened, text

CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Ref:
    """Output number `tensor` of call number `call` of the layer of that name."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One call of a layer: positional arguments and named ones, trees of tuples with `Ref`s and constants."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def refs(self) -> Iterator[Ref]:
        """Every `Ref` among the arguments."""
        yield from refs_in((self.args, tuple(self.kwargs.values())))


def refs_in(tree: Any) -> Iterator[Ref]:
    """Every `Ref` of a tree of tuples and dicts, of these by sorted keys, as Keras walks it."""
    if isinstance(tree, Ref):
        yield tree
    elif isinstance(tree, (tuple, dict)):
        for part in (tree[key] for key in sorted(tree)) if isinstance(tree, dict) else tree:
            yield from refs_in(part)


def read_calls(value: Any, place: str) -> list[Call]:
    """The calls of a layer from its `inbound_nodes`."""
    if not isinstance(value, list):
        raise KerasFileError(f"{place}: inbound_nodes must be a list, got {shortened(value)}")
    return [_new(node, place) if isinstance(node, dict) else _old(node, place) for node in value]


def read_ref(value: Any, place: str) -> Ref:
    """A `Ref` from `[layer, call, tensor]`."""
    if not _is_ref(value):
        raise KerasFileError(f"{place}: a tensor must be [layer, call, output], got {shortened(value)}")
    if value[1] < 0 or value[2] < 0:
        raise KerasFileError(f"{place}: call and output are counted from 0, got {shortened(value)}")
    return Ref(*value)


def read_refs(value: Any, place: str) -> Any:
    """A tree of `Ref`s, in tuples and dicts, from the lists and dicts of `input_layers` and `output_layers`."""
    if isinstance(value, dict):
        return {key: read_refs(part, place) for key, part in value.items()}
    if isinstance(value, list) and not _is_ref(value):
        return tuple(read_refs(part, place) for part in value)
    return read_ref(value, place)


def _is_ref(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 3 or not isinstance(value[0], str):
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) for n in value[1:])


def _new(node: dict[str, Any], place: str) -> Call:
    config = Config(node, f"{place}, inbound_nodes")
    args = tree_of(config.get("args", as_list, []), place)
    kwargs = config.get("kwargs", as_dict, {})
    return Call(args, {name: tree_of(value, place) for name, value in kwargs.items()})


def _old(node: Any, place: str) -> Call:
    # [[layer, call, tensor, kwargs], ...], or one of these alone.
    entries = [node] if isinstance(node, list) and node and isinstance(node[0], str) else node
    if not isinstance(entries, list) or not all(isinstance(e, list) and len(e) in (3, 4) for e in entries):
        raise KerasFileError(f"{place}: a call must be a list of [layer, call, output], got {shortened(node)}")
    refs = tuple(
        _old_value(entry[:3], place) if _is_constant(entry) else read_ref(entry[:3], place) for entry in entries
    )
    kwargs: dict[str, Any] = {}
    for entry in entries:
        if len(entry) == 4:
            if not isinstance(entry[3], dict):
                raise KerasFileError(f"{place}: the options of a call must be an object, got {shortened(entry[3])}")
            kwargs |= {name: _old_value(value, place) for name, value in entry[3].items()}
    return Call((refs[0] if len(refs) == 1 else refs,) if refs else (), kwargs)


def _is_constant(value: Any) -> bool:
    """Whether Keras 2 has a value in the place of a tensor."""
    return isinstance(value, list) and len(value) >= 3 and value[:2] == [CONSTANT, -1]


def _old_value(value: Any, place: str) -> Any:
    if _is_constant(value):
        return tree_of(value[2], place)
    if _is_ref(value):
        return read_ref(value, place)
    if isinstance(value, list) and value and all(_is_ref(part) for part in value):
        return tuple(read_ref(part, place) for part in value)
    return tree_of(value, place)


def tree_of(value: Any, place: str) -> Any:
    """An argument as Keras 3 writes it: tensors, slices, arrays and plain values, in lists and dicts."""
    if isinstance(value, list):
        return tuple(tree_of(part, place) for part in value)
    if not isinstance(value, dict):
        return value
    if value == {"class_name": "__ellipsis__"}:
        return ...
    if "class_name" not in value or "config" not in value:
        return {key: tree_of(part, place) for key, part in value.items()}
    config = Config(value, f"{place}, an argument")
    name = config.get("class_name", text)
    inner = Config(config.get("config", as_dict), f"{place}, an argument of class {name}")
    if name == "__keras_tensor__":
        return read_ref(inner.get("keras_history", as_list), place)
    if name == "__slice__":
        return Slice(*(inner.get(key, _index, None) for key in ("start", "stop", "step")))
    if name == "__ellipsis__":
        return ...
    if name in ("__numpy__", "__tensor__"):
        values = _nested_numbers(inner.get("value", lambda v: v), place)
        return Constant(values, inner.get("dtype", _dtype))
    return inner.fail("no argument of a layer is of this class; it is not imported")


def _index(value: Any) -> int | None:
    return None if value is None else integer(value)


def _dtype(value: Any) -> str:
    allowed = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return value


def _nested_numbers(value: Any, place: str) -> Any:
    if isinstance(value, list):
        if len(value) > MOST_PARTS:
            raise KerasFileError(f"{place}: a constant has {len(value):,} rows; more than {MOST_PARTS:,} are refused")
        return tuple(_nested_numbers(part, place) for part in value)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise KerasFileError(f"{place}: a constant must hold finite numbers, got {shortened(value)}")
    return value
