"""A graph as it grows: nodes in order, the shape of each value, and the mask of each value that has one.

Masks, which Keras hands on behind the scenes, become values that nodes read like others; one that nothing reads is
never made.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...layers import InDtype, Layer, Operation, Pick
from ...layers.base import is_tuple_of_shapes
from ...layers.operations.operation import Constant, Input, Slice
from ...model.graph import Node
from ..files.errors import KerasFileError, spoken_at
from ..files.limits import Tally
from .layer import Read
from .parts import Part


class Values:
    """Nodes by the names of their values; `shapes` has each value's, or a tuple of them for several outputs.

    With `older`, masks go on as in Keras 2: what is merged counts where all that have a mask count, Maximum,
    Minimum and Multiply heed no masks, and no layer takes them off.
    """

    def __init__(self, tally: Tally, older: bool = False) -> None:
        self.older = older
        self.nodes: list[Node] = []
        self.shapes: dict[str, Any] = {}
        self.tally = tally
        self._calls: Counter[str] = Counter()
        # The names of single outputs of values that are several.
        self._picked: dict[tuple[str, int], str] = {}
        # Of values that are several, how many have the mask.
        self._masked_outputs: dict[str, int] = {}
        # By the array that it masks: the name of the mask's value, or the layer that makes it and what that reads.
        self._masks: dict[str, str | tuple[Layer, str]] = {}
        # Of values that are the array of an earlier value, that one; and the types in which layers computed values.
        self._arrays: dict[str, str] = {}
        self._dtypes: dict[str, str] = {}
        self._made_masks: dict[tuple[Layer, str], str] = {}

    def add(self, name: str, layer: Layer, inputs: tuple[str, ...], key: str | None = None, place: str = "") -> str:
        """A node, and the name of its value: `name`, or one made of it where that is taken."""
        place = place or ascii(name)
        self.tally.add(place)
        # A layer that is called again is another node with the same arrays.
        unique = name
        while unique in self.shapes:
            self._calls[name] += 1
            unique = f"{name}:{self._calls[name] + 1}"
        shapes = tuple(self.shapes[value] for value in inputs)
        with spoken_at(place):
            node = Node(unique, layer, inputs, key if key != unique else None)
            self.shapes[unique] = layer.output_shape(shapes if layer.has_several_inputs else shapes[0])
        self.nodes.append(node)
        return unique

    def output(self, value: str, index: int = 0) -> str:
        """Output `index` of a value that may be several. Raises `KerasFileError` for one that it has not."""
        if not is_tuple_of_shapes(self.shapes[value]):
            if index:
                raise KerasFileError(f"{value!a} has one output, and number {index} is read")
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
        read: Read,
        layer: Layer,
        roles: tuple[str, ...],
        inputs: tuple[str, ...],
        part: Part,
        masks: tuple[str | None, ...] = (),
    ) -> str:
        """A node that calls a layer of the file; `roles` are the layer's names of its `inputs`, where it has some.

        `masks` are those that the call itself says: the first goes on in place of the first input's.
        """
        name = self.add(name, layer, inputs, part.key, part.place if read.kind is None else read.place)
        if part.layer is None:
            shapes = tuple(self.shapes[i] for i in inputs)
            part.layer, part.input_shape = layer, shapes if layer.has_several_inputs else shapes[0]
        kind, said = read.kind, "stop"
        if kind is not None:
            said = kind.mask(read.base) if callable(kind.mask) else kind.mask
            self._masked_outputs[name] = kind.masked_outputs(read.base)
        dtype = self._dtypes[name] = layer.dtype if isinstance(layer, InDtype) else "float32"
        # Of a value in another type a layer gets a copy.
        as_they_are = [value for value in inputs if self._dtypes.get(value, dtype) == dtype]
        if isinstance(said, Layer):
            self._masks[name] = (said, inputs[0])
        elif said == "same" and as_they_are and not self.older:
            self._arrays[name] = self._array(inputs[0])
        elif said == "on" and masks:
            if masks[0] is not None:
                self._masks[name] = masks[0]
        elif said in ("on", "same") and any(self.is_masked(value) for value in inputs):
            values = tuple(v for v, role in zip(inputs, roles, strict=True) if role != "mask") if roles else inputs
            self._hand_on(name, read, values)
        if kind is not None and kind.takes_masks_off and not self.older:
            for value in as_they_are:
                self._masks.pop(self._array(value), None)
        return name

    def _array(self, value: str) -> str:
        """The first value that is the array which this one is; the masks of the array are theirs."""
        return self._arrays.get(value, value)

    def _hand_on(self, name: str, read: Read, inputs: tuple[str, ...]) -> None:
        joins = read.kind.joins if read.kind is not None else ""
        if not joins:
            if self.is_masked(inputs[0]):
                self._masks[name] = self._masks[self._array(inputs[0])]
            return
        masks = [self.mask_of(value) for value in inputs]
        if joins == "beside" and getattr(read.base, "axis", None) in (1, -2):
            if all(len(self.shapes[value]) == 2 for value in inputs):
                self._masks[name] = self._beside(name, inputs, masks)
            return
        # One that has no mask counts whole, and then so does all of what they are joined to.
        present = [mask for mask in masks if mask is not None]
        if not self.older and len(present) < len(masks):
            return
        both = Operation("logical_and" if self.older else "logical_or", (Input(0), Input(1)))
        joined = present[0]
        for number, mask in enumerate(present[1:]):
            joined = joined if mask == joined else self.add(f"{name}/mask{number}", both, (joined, mask))
        self._masks[name] = joined

    def _beside(self, name: str, inputs: tuple[str, ...], masks: list[str | None]) -> str:
        """The mask of sequences that are put one after the other."""
        found = []
        for value, mask in zip(inputs, masks, strict=True):
            if mask is None:
                ones = self.add(f"{value}/ones", Operation("ones_like"), (value,))
                mask = self.add(f"{value}/all", Operation("any", options=(("axis", -1),)), (ones,))
            found.append(mask)
        # An operation reads each value once.
        read = tuple(dict.fromkeys(found))
        places = tuple(Input(read.index(mask)) for mask in found)
        return self.add(f"{name}/mask", Operation("concatenate", (places,), (("axis", 1),)), read)

    def with_masks(self, values: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a layer reads that merges `values` by their masks: the roles, and the values, each before its mask."""
        if self.older:
            return (), values
        rank = max(len(self.shapes[value]) for value in values)
        # Keras loses the mask of a value to which it adds axes.
        pairs = [(v, self.mask_of(v) if len(self.shapes[v]) == rank else None) for v in values]
        if all(mask is None for _, mask in pairs):
            return (), values
        read = [(role, v) for pair in pairs for role, v in zip(("value", "mask"), pair, strict=True) if v is not None]
        return tuple(role for role, _ in read), tuple(v for _, v in read)

    def constant(self, name: str, like: str, constant: Constant, place: str) -> str:
        """The value of an array that the file holds, the same for each example, where `like` has as many axes.

        Raises `KerasFileError` for one of another number of axes.
        """
        values: Any = constant.values
        rank = len(self.shapes[like])
        with spoken_at(place):
            sizes = np.shape(values)
        if len(sizes) == rank + 1 and sizes[0] == 1:
            values, sizes = values[0], sizes[1:]
        if len(sizes) != rank:
            raise KerasFileError(f"{place}: a constant of shape {sizes} stands where {rank} axes must be")
        one = Operation("get_item", (Input(0), (Slice(), *[Slice(0, 1)] * rank)))
        first = self.add(f"{name}/first", one, (like,), place=place)
        ones = self.add(f"{name}/ones", Operation("ones_like"), (first,), place=place)
        with spoken_at(place, "Operation: "):
            product = Operation("multiply", (Input(0), Constant(values, "float32")))
        return self.add(name, product, (ones,), place=place)

    def is_masked(self, value: str) -> bool:
        """Whether a value has a mask."""
        return self._array(value) in self._masks

    def mask_of(self, value: str) -> str | None:
        """The value that masks another, put into the graph at its first use; None where there is none."""
        found = self._masks.get(self._array(value))
        if found is None or isinstance(found, str):
            return found
        if found not in self._made_masks:
            layer, reads = found
            self._made_masks[found] = self.add(f"{value}/mask", layer, (reads,))
        return self._made_masks[found]

    def set_mask(self, value: str, mask: str) -> None:
        """Let `mask` be the mask of a value."""
        self._masks[self._array(value)] = mask
