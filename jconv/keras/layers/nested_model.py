"""`NestedModel`: a model as a layer, such as the layer of a `TimeDistributed`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from ...layers.base import Arrays, Key, Layer, Params, ReceptiveField, State
from ...model.graph import Model


@dataclass(frozen=True)
class NestedModel(Layer):
    """A model as a layer; its arrays are named `node/array`.

    `folders` has the folder in the file of each key of the model's params and state.
    """

    model: Model
    folders: tuple[tuple[str, str], ...] = ()

    @property
    def has_several_inputs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the model has several inputs."""
        return len(self.model.inputs) > 1

    def inside(self) -> list[tuple[Layer, str, str]]:
        """The layers of the model, each with the prefix of its arrays' names and its folder."""
        layers = {node.key: node.layer for node in self.model.nodes}
        return [(layers[key], key, folder) for key, folder in self.folders if key in layers]

    def output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, or a tuple of shapes for several outputs."""
        shapes = self.model.all_shapes(input_shape)
        first, *others = (shapes[name] for name in self.model.outputs)
        return (first, *others) if others else first

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The shapes of each node, with its key as prefix."""
        return self._shapes_of("param_shapes", input_shape)

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The shapes of each node, with its key as prefix."""
        return self._shapes_of("state_shapes", input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """As `Model.init`."""
        params, state = self.model.init(key, input_shape)
        return _flatten(params), _flatten(state)

    def apply(
        self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None
    ) -> tuple[Any, dict[str, Any]]:
        """The output, or a tuple of several outputs."""
        y, after = self.model.apply(self._tree(params), self._tree(state), x, training=training, key=key)
        return self._outputs(y), _flatten(after)

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """As `apply`, in NumPy."""
        return self._outputs(self.model.reference(self._tree(params), self._tree(state), x, training=training))

    def flops(self, input_shape: Any) -> int:
        """The sum over the nodes."""
        shapes = self.model.all_shapes(input_shape)
        return sum(node.layer.flops(node.select(shapes)) for node in self.model.nodes)

    def window(self) -> ReceptiveField | None:
        """None: the receptive field of a nested model is not computed."""
        return None

    def _tree(self, arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        # Keys and names may both contain slashes; the longest key that matches is the right one.
        keys = sorted({node.key for node in self.model.nodes}, key=len, reverse=True)
        tree: dict[str, dict[str, Any]] = {}
        for path, array in arrays.items():
            key = next(key for key in keys if path.startswith(f"{key}/"))
            tree.setdefault(key, {})[path.removeprefix(f"{key}/")] = array
        return tree

    def _outputs(self, y: Any) -> Any:
        return tuple(y[name] for name in self.model.outputs) if len(self.model.outputs) > 1 else y

    def _shapes_of(self, which: str, input_shape: Any) -> dict[str, tuple[int, ...]]:
        shapes = self.model.all_shapes(input_shape)
        found: dict[str, dict[str, tuple[int, ...]]] = {}
        for node in self.model.nodes:
            found.setdefault(node.key, getattr(node.layer, which)(node.select(shapes)))
        order = [key for key, _ in self.folders if key in found] or list(found)
        return {f"{key}/{name}": shape for key in order for name, shape in found[key].items()}


def _flatten(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{key}/{name}": array for key, arrays in tree.items() for name, array in arrays.items()}
