"""`TCN` of the package keras-tcn: residual blocks of two dilated convolutions each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from ...layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv1D,
    Layer,
    LayerNormalization,
    Operation,
    SpatialDropout1D,
)
from ...layers.base import Arrays, Key, Params, ReceptiveField, State
from ...layers.operations.operation import Input, Slice
from ...model.graph import Model, Node
from .nested_model import NestedModel

NORMALIZATIONS: dict[str, type[Layer]] = {"batch": BatchNormalization, "layer": LayerNormalization}


@dataclass(frozen=True)
class TCN(Layer):
    """keras-tcn's `TCN`, with its options; `filters` has one number for each of the `dilations`.

    `normalization` is `"batch"`, `"layer"` or `""`. Arrays are named as in keras-tcn's files,
    `residual_block_0/conv1D_0/kernel`. Without `return_sequences` the output is the last step, or with padding
    `"same"` the middle one, for which the length must be known.
    """

    filters: tuple[int, ...]
    dilations: tuple[int, ...]
    kernel_size: int = 3
    stacks: int = 1
    padding: str = "causal"
    skips: bool = True
    dropout: float = 0.0
    return_sequences: bool = False
    activation: Any = "relu"
    normalization: str = ""
    go_backwards: bool = False
    algorithm: str = "auto"

    def __post_init__(self) -> None:
        if len(self.filters) != len(self.dilations) or not self.filters:
            raise ValueError(f"TCN: filters must be as many as the dilations {self.dilations}, got {self.filters}")
        if self.padding not in ("causal", "same"):
            raise ValueError(f"TCN: padding must be causal or same, got {self.padding!r}")
        if self.stacks < 1:
            raise ValueError(f"TCN: stacks must be at least 1, got {self.stacks}")

    def folders(self) -> dict[str, str]:
        """For each prefix of the arrays' names, its folder in a Keras 3 file."""
        kind = {"batch": "batch_normalization", "layer": "layer_normalization"}.get(self.normalization)
        found = {}
        for number in range(self.stacks * len(self.dilations)):
            above = f"residual_blocks/{_numbered('residual_block', number)}"
            for prefix, name in (("norm", kind), ("conv1D", "conv1d")):
                for part in range(2 if name else 0):
                    found[f"residual_block_{number}/{prefix}_{part}"] = f"{above}/layers/{_numbered(name, part)}"
            found[f"residual_block_{number}/matching_conv1D"] = f"{above}/shape_match_conv"
        return found

    def output_shape(self, input_shape: Any) -> Any:
        """(length, filters), or (filters,) for one step."""
        return self._nested(input_shape).output_shape(input_shape)[0]

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The shapes of the layers inside, block by block."""
        return self._nested(input_shape).param_shapes(input_shape)

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The moving averages of the batch normalizations."""
        return self._nested(input_shape).state_shapes(input_shape)

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """The arrays of the layers inside."""
        return self._nested(input_shape).init(key, input_shape)

    def apply(
        self, params: Params, state: State, x: Any, *, training: bool = False, key: Key = None
    ) -> tuple[Any, dict[str, Any]]:
        """The sequence, or its last or middle step."""
        y, after = self._nested(x.shape[1:]).apply(params, state, x, training=training, key=key)
        return y[0], after

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """As `apply`, in NumPy."""
        return self._nested(x.shape[1:]).reference(params, state, x, training=training)[0]

    def flops(self, input_shape: Any) -> int:
        """The sum over the layers inside."""
        return self._nested(input_shape).flops(input_shape)

    def window(self) -> ReceptiveField | None:
        """None: the receptive field of a graph of layers is not computed."""
        return None

    def _nested(self, input_shape: Any) -> NestedModel:
        """The layers inside, with two outputs: the layer's output, and the last block.

        With skip connections no other output depends on the arrays of the last block.
        """
        length, channels = input_shape
        nodes: list[Node] = []

        def add(name: str, layer: Layer, *inputs: str) -> str:
            nodes.append(Node(name, layer, inputs))
            return name

        def conv(filters: int, kernel_size: int, padding: str, dilation: int = 1) -> Layer:
            return Conv1D(filters, kernel_size, padding=padding, dilation=dilation, algorithm=self.algorithm)

        value = "input"
        if self.go_backwards:
            value = add("reversed", Operation("flip", (Input(0),), (("axis", 1),)), value)
        ends: list[str] = []
        for number, (filters, dilation) in enumerate(
            list(zip(self.filters, self.dilations, strict=True)) * self.stacks
        ):
            block, y = f"residual_block_{number}", value
            for part in range(2):
                y = add(f"{block}/conv1D_{part}", conv(filters, self.kernel_size, self.padding, dilation), y)
                if self.normalization:
                    y = add(f"{block}/norm_{part}", NORMALIZATIONS[self.normalization](), y)
                y = add(f"{block}/activation_{part}", Activation(self.activation), y)
                y = add(f"{block}/dropout_{part}", SpatialDropout1D(self.dropout), y) if self.dropout else y
            y = add(f"{block}/activation", Activation(self.activation), y)
            ends.append(y)
            if channels != filters:
                value = add(f"{block}/matching_conv1D", conv(filters, 1, "same"), value)
            value = add(f"{block}/both", Add(), value, y)
            value = add(block, Activation(self.activation), value)
            channels = filters
        y = add("skips", Add() if len(ends) > 1 else Activation("linear"), *ends) if self.skips else value
        if not self.return_sequences:
            if self.padding == "same" and length is None:
                raise ValueError("TCN: the middle of a sequence of unknown length is not known; give input_shape=")
            step = -1 if self.padding == "causal" else length // 2
            y = add("step", Operation("get_item", (Input(0), (Slice(), step))), y)
        if y == value:
            y = add("sequence", Activation("linear"), y)
        names = {node.name for node in nodes}
        model = Model(tuple(nodes), ("input",), (y, value))
        return NestedModel(model, tuple((prefix, prefix) for prefix in self.folders() if prefix in names))


def _numbered(name: str | None, number: int) -> str:
    return f"{name}_{number}" if number else f"{name}"
