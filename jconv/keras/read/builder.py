"""`GraphBuilder`: a graph under construction, with the shape and the mask of each value.

Keras propagates masks implicitly. Here they become values that nodes read like any other; a mask that no node reads is
never computed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...layers import InDtype, Layer, MaskOf, Operation, Pick
from ...layers.base import is_tuple_of_shapes
from ...layers.nesting import unwrap
from ...layers.operations.operation import Constant, Input, Slice
from ...model.graph import Node
from ..files.errors import KerasFileError, error_context
from ..files.limits import CallCount
from ..kinds.kind import OTHER
from ..kinds.table import mask_of
from ..layers import TCN
from .layer import ParsedLayer
from .parts import ModelPart

Names = tuple[str, ...]
# Whether any feature is true.
ANY_FEATURE = [Operation("any", (Input(0),), (("axis", -1), *keepdims)) for keepdims in ((), (("keepdims", False),))]
# The nodes of a block of keras-tcn's `TCN`: two convolutions, normalizations, activations and dropouts, then four more.
TCN_NODES = 12


class GraphBuilder:
    """The `nodes` of a graph; `shapes` has the shape of each value, or a tuple of shapes for several outputs.

    With `keras_2`, masks are propagated as in Keras 2: the mask of a merged value is true where all masks of its inputs
    are true; Maximum, Minimum and Multiply ignore masks; no layer removes masks from its inputs.
    """

    def __init__(self, call_count: CallCount, keras_2: bool) -> None:
        self.keras_2 = keras_2
        self.nodes: list[Node] = []
        self.shapes: dict[str, Any] = {}
        self.call_count = call_count
        self._repeats: Counter[str] = Counter()
        # The values of single outputs, by the value with several outputs and the index.
        self._picked: dict[tuple[str, int], str] = {}
        # The number of outputs that have the mask of the value.
        self._masked_outputs: dict[str, int] = {}
        # The mask of a value: a value, or the layer that computes it and its input.
        self._masks: dict[str, str | tuple[Layer, str]] = {}
        self._computed_masks: dict[tuple[Layer, str], str] = {}
        # For a value that is the same array as an earlier value in Keras, that value.
        self._same_array: dict[str, str] = {}
        self._dtypes: dict[str, str] = {}
        # For a `not_equal` with a number: the `MaskOf` that begins with this operation, and its input.
        self._compared: dict[str, tuple[MaskOf, Names]] = {}

    def add(self, name: str, layer: Layer, inputs: Names, key: str | None = None, place: str = "") -> str:
        """Add a node. Returns the name of its value: `name`, with a number if it is taken."""
        place = place or ascii(name)
        self.call_count.add(place, name, _node_count(layer))
        # Every call of a layer is a node; they share their arrays.
        unique = name
        while unique in self.shapes:
            self._repeats[name] += 1
            unique = f"{name}:{self._repeats[name] + 1}"
        with error_context(place):
            node = Node(unique, layer, inputs, key if key != unique else None)
            self.shapes[unique] = layer.output_shape(node.select(self.shapes))
        self.nodes.append(node)
        return unique

    def add_operation(self, name: str, operation: Operation, inputs: Names, place: str) -> str:
        """Add an operation. The two with which Keras computes the mask of `Masking` become one `MaskOf`."""
        if inputs[0] in self._compared and operation in ANY_FEATURE:
            mask, compared = self._compared[inputs[0]]
            return self.add(name, mask, compared, place=place)
        added = self.add(name, operation, inputs, place=place)
        constants = [value for value in operation.arguments if not isinstance(value, Input)]
        if operation.function == "not_equal" and [type(value) for value in constants] in ([int], [float]):
            self._compared[added] = MaskOf(constants[0]), inputs
        return added

    def output(self, value: str, index: int = 0) -> str:
        """The value of output `index` of a value. Raises `KerasFileError` if it has no such output."""
        if not is_tuple_of_shapes(self.shapes[value]):
            if index:
                raise KerasFileError(f"{value!a} has one output, but the output with index {index} is read")
            return value
        if (value, index) not in self._picked:
            name = self._picked[value, index] = self.add(f"{value}[{index}]", Pick(index), (value,))
            if value in self._masks and index < self._masked_outputs.get(value, 1):
                self._masks[name] = self._masks[value]
            self._dtypes[name] = self._dtypes.get(value, "float32")
        return self._picked[value, index]

    def add_layer(
        self,
        name: str,
        parsed: ParsedLayer,
        layer: Layer,
        inputs: list[tuple[str, str]],
        part: ModelPart,
        masks: tuple[str | None, ...],
    ) -> str:
        """Add a call of a layer of the file.

        `inputs` are pairs of the layer's name of an input, which may be "", and its value. `masks` are the masks among
        the arguments of the call: the first replaces the mask of the first input.
        """
        values = tuple(value for _, value in inputs)
        name = self.add(name, layer, values, part.key, part.place if parsed.kind is OTHER else parsed.place)
        if part.layer is None:
            part.layer, part.input_shape = layer, self.nodes[-1].select(self.shapes)
        dtype = self._dtypes[name] = layer.dtype if isinstance(layer, InDtype) else "float32"
        kind = parsed.kind
        self._masked_outputs[name] = kind.masked_outputs(parsed.base)
        # Keras casts a value of another type, so the layer reads a copy.
        uncast = [value for value in values if self._dtypes.get(value, dtype) == dtype]
        mask = mask_of(parsed.base, kind)
        if isinstance(mask, Layer):
            self._masks[name] = (mask, values[0])
        elif mask == "identity" and uncast and not self.keras_2:
            self._same_array[name] = self._array(values[0])
        elif mask == "propagate" and masks:
            if masks[0] is not None:
                self._masks[name] = masks[0]
        elif mask != "stop" and any(self.is_masked(value) for value in values):
            self._propagate_mask(name, parsed, tuple(value for role, value in inputs if role != "mask"))
        if kind.removes_masks and not self.keras_2:
            for value in uncast:
                self._masks.pop(self._array(value), None)
        return name

    def _array(self, value: str) -> str:
        """The first value that is the same array; masks belong to arrays."""
        return self._same_array.get(value, value)

    def _propagate_mask(self, name: str, parsed: ParsedLayer, inputs: Names) -> None:
        join = parsed.kind.mask_join
        if not join:
            if self.is_masked(inputs[0]):
                self._masks[name] = self._masks[self._array(inputs[0])]
            return
        masks = [self.mask_of(value) for value in inputs]
        if join == "concatenate" and getattr(parsed.base, "axis", None) in (1, -2):
            if all(len(self.shapes[value]) == 2 for value in inputs):
                self._masks[name] = self._concatenate_masks(name, inputs, masks)
            return
        present = [mask for mask in masks if mask is not None]
        # All elements of an input without a mask are valid, and so are all elements of the merged value.
        if not self.keras_2 and len(present) < len(masks):
            return
        merge = Operation("logical_and" if self.keras_2 else "logical_or", (Input(0), Input(1)))
        merged = present[0]
        for number, mask in enumerate(present[1:]):
            merged = merged if mask == merged else self.add(f"{name}/mask{number}", merge, (merged, mask))
        self._masks[name] = merged

    def _concatenate_masks(self, name: str, inputs: Names, masks: list[str | None]) -> str:
        found = []
        for value, mask in zip(inputs, masks, strict=True):
            if mask is None:
                ones = self.add(f"{value}/ones", Operation("ones_like"), (value,))
                mask = self.add(f"{value}/all", Operation("any", options=(("axis", -1),)), (ones,))
            found.append(mask)
        # An operation reads each value once.
        read = tuple(dict.fromkeys(found))
        inputs_of = tuple(Input(read.index(mask)) for mask in found)
        return self.add(f"{name}/mask", Operation("concatenate", (inputs_of,), (("axis", 1),)), read)

    def with_masks(self, values: Names) -> list[tuple[str, str]]:
        """The inputs of a layer that merges `values` by their masks: each value, followed by its mask if it has one."""
        rank = max(len(self.shapes[value]) for value in values)
        # In Keras a value to which axes are added loses its mask.
        masks = [self.mask_of(v) if len(self.shapes[v]) == rank and not self.keras_2 else None for v in values]
        if all(mask is None for mask in masks):
            return [("", value) for value in values]
        pairs = [pair for v, mask in zip(values, masks, strict=True) for pair in (("value", v), ("mask", mask))]
        return [(role, value) for role, value in pairs if value is not None]

    def constant(self, name: str, like: str, constant: Constant, place: str) -> str:
        """The value of an array in the file, the same for each example; it must have as many axes as `like`.

        Raises `KerasFileError` for an array with another number of axes.
        """
        values: Any = constant.values
        rank = len(self.shapes[like])
        with error_context(place):
            sizes = np.shape(values)
        if len(sizes) == rank + 1 and sizes[0] == 1:
            values, sizes = values[0], sizes[1:]
        if len(sizes) != rank:
            raise KerasFileError(f"{place}: a constant must have {rank} axes, got shape {sizes}")
        one = Operation("get_item", (Input(0), (Slice(), *[Slice(0, 1)] * rank)))
        first = self.add(f"{name}/first", one, (like,), place=place)
        ones = self.add(f"{name}/ones", Operation("ones_like"), (first,), place=place)
        with error_context(place, "Operation: "):
            product = Operation("multiply", (Input(0), Constant(values, "float32")))
        return self.add(name, product, (ones,), place=place)

    def is_masked(self, value: str) -> bool:
        """Whether a value has a mask."""
        return self._array(value) in self._masks

    def mask_of(self, value: str) -> str | None:
        """The mask of a value, added to the graph at its first use; None if the value has none."""
        found = self._masks.get(self._array(value))
        if found is None or isinstance(found, str):
            return found
        if found not in self._computed_masks:
            layer, source = found
            self._computed_masks[found] = self.add(f"{value}/mask", layer, (source,))
        return self._computed_masks[found]

    def set_mask(self, value: str, mask: str) -> None:
        """Make `mask` the mask of a value."""
        self._masks[self._array(value)] = mask


def _node_count(layer: Layer) -> int:
    """The number of layers in a layer: many for a `TCN`, which builds them whenever its shapes are needed."""
    inner = unwrap(layer)
    while isinstance(getattr(inner, "layer", None), Layer):
        inner = unwrap(inner.layer)  # pyright: ignore[reportAttributeAccessIssue]
    return TCN_NODES * inner.stacks * len(inner.dilations) if isinstance(inner, TCN) else 1
