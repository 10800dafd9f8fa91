"""`LoadedModel`: a model that remembers how it was in its file, so that it can be written the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...model.graph import Model
from .calls import DTYPES, read_refs, refs_in


@dataclass(frozen=True)
class InnerCall:
    """A call of a nested model, whose nodes are part of the flat graph. `class_name` is the Keras class.

    The names of its nodes begin with `name` and a slash, the keys of their arrays with `key` and a slash. `inputs` and
    `outputs` are values of the outer graph, `input_layers` the nested model's own names and types of its inputs.
    """

    name: str
    key: str
    class_name: str
    input_layers: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class LoadedModel(Model):
    """A model with what its file says beyond the graph.

    `inner` are the calls of nested models. `folders` has the folder in the file of each key of params and state; it is
    empty if the file has more arrays than the model. `class_name` is the Keras class of a nested model. `input_types`
    has the types of the inputs, as far as the file says them.
    """

    inner: tuple[InnerCall, ...] = field(default=(), repr=False)
    folders: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    class_name: str = field(default="Functional", repr=False)
    input_types: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def input_layers(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The name and the type of each input in the `config` of a model that has been read."""
    own = [entry["config"] for entry in config["layers"] if entry["class_name"] == "InputLayer"]
    types = {c.get("name"): input_type(c) for c in own}
    if "input_layers" not in config:
        return tuple(types.items())[:1]
    refs = refs_in(read_refs(config["input_layers"], "input_layers"))
    return tuple((ref.layer, types.get(ref.layer, "")) for ref in refs)


def input_type(config: Mapping[str, Any]) -> str:
    """The type in the `config` of an InputLayer; "" if it has none."""
    dtype = config.get("dtype")
    return dtype if dtype in DTYPES else ""
