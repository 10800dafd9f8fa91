"""What of a config the file's arrays belong to: a tree of layers and models, and the folders that Keras gives them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...layers import Layer
from ..kinds import KINDS
from ..kinds.kind import Kind


@dataclass
class Part:
    """A layer or a model as the file's arrays see it.

    `folder` is its path in a Keras 3 file, `name` its name in a Keras 2 one; `key` is that of its arrays in params and
    state, `layer` and `input_shape` the layer as it is first called, `class_name` and `config` what the file says of
    it; a model has `parts` instead. One that is not `used` has arrays in the file, and nothing that is computed from
    them is an output.
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
    used: bool = True

    def leaves(self) -> list[Part]:
        """The layers below, in the config's order, that the graph calls."""
        if self.layer is not None:
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves()]

    def below(self) -> Iterator[Part]:
        """All parts of a model, and theirs."""
        for part in self.parts:
            yield part
            yield from part.below()


class Folders:
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
