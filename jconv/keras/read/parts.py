"""`ModelPart`: a layer or model of a config as the owner of arrays in the file; and Keras's names of their folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...layers import Layer
from ..kinds import KINDS
from ..kinds.kind import Kind
from .rewrite import PRUNING_WRAPPER


@dataclass
class ModelPart:
    """A layer, or a model with `parts`.

    `folder` is its path in a Keras 3 file, `name` its name in a Keras 2 file, `place` its place in the config for
    errors. `key` is the key of its arrays in params and state. `layer` and `input_shape` are from its first call,
    `class_name` and `config` from the file. A part is not `used` if no output of the model depends on it.
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
    parts: list[ModelPart] = field(default_factory=list)
    used: bool = True

    def leaves(self) -> list[ModelPart]:
        """The layers in this part that are called, in the config's order."""
        if self.layer is not None:
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves()]

    def descendants(self) -> Iterator[ModelPart]:
        """All parts in this one, at any depth."""
        for part in self.parts:
            yield part
            yield from part.descendants()


class FolderNames:
    """The folders of the layers of one model, from Keras's class names: `conv1d`, `conv1d_1`, ..."""

    def __init__(self, model_folder: str) -> None:
        self._above = f"{model_folder}/layers" if model_folder else "layers"
        self._counts: Counter[str] = Counter()

    def next(self, class_name: str, is_pruned: bool = False) -> str:
        """The folder of the next layer of a class; the folder of a pruned layer is in the folder of its wrapper."""
        if is_pruned:
            return f"{self.next(PRUNING_WRAPPER)}/layer"
        name = folder_name("Functional" if class_name == "Model" else class_name)
        number = self._counts[name]
        self._counts[name] += 1
        return f"{self._above}/{name}_{number}" if number else f"{self._above}/{name}"


def folder_name(class_name: str) -> str:
    """The name of the folder of the first layer of a class.

    >>> folder_name("GroupQueryAttention")
    'grouped_query_attention'
    """
    kind = KINDS.get(class_name)
    return snake_case(kind.source_name or class_name if kind else class_name)


def snake_case(name: str) -> str:
    """A class name in Keras's snake case.

    >>> snake_case("GlobalAveragePooling1D")
    'global_average_pooling1d'
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
