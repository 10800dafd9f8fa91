"""One call of a layer: from the arguments of Keras's call to the inputs of the layer, with the masks of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ...layers.operations.operation import Constant
from ..files.errors import KerasFileError
from ..kinds.config import shortened
from .builder import GraphBuilder
from .calls import Call, Ref, as_constant, refs_in
from .layer import ParsedLayer, called_layer
from .parts import ModelPart

Names = tuple[str, ...]
# Pairs of the layer's name for an input and the name of the value.
Inputs = list[tuple[str, str]]


def mode_of(call: Call, mode: bool | None, builder: GraphBuilder, place: str) -> bool | None:
    """True if a call is always in training mode, False if never, as an argument in Keras 2 says; otherwise `mode`.

    Raises `KerasFileError` for a value other than true, false and null.
    """
    # In Keras 3 the argument has no effect on `fit` and `predict`.
    value = call.kwargs.get("training") if builder.keras_2 else None
    if value is None:
        return mode
    if value not in (0, 1) or not isinstance(value, int):
        raise KerasFileError(f"{place}: training must be true, false or null, got {shortened(value)}")
    return bool(value)


class LayerCaller:
    """Adds a node for each call of a layer. `mode` is the mode of the model that contains it; see `mode_of`."""

    def __init__(
        self, builder: GraphBuilder, parsed: ParsedLayer, part: ModelPart, node: str, mode: bool | None
    ) -> None:
        self._builder, self._parsed, self._part, self._node, self._mode = builder, parsed, part, node, mode

    def call(self, call: Call, value: Callable[[Ref], str]) -> str:
        """Add a call; `value` gives the value of each tensor. Returns the value of the output."""
        inputs, options = self._inputs_and_options(call, value)
        mode = mode_of(call, self._mode, self._builder, self._parsed.place)
        roles = tuple(role for role, _ in inputs if role)
        layer = called_layer(self._parsed, roles, options, mode)
        # Keras does not propagate a mask that is a positional argument.
        masks = call.kwargs.get("mask")
        masks = () if masks is None else masks if isinstance(masks, tuple) else (masks,)
        explicit = tuple(value(mask) if isinstance(mask, Ref) else None for mask in masks)
        return self._builder.add_layer(self._node, self._parsed, layer, inputs, self._part, explicit)

    def _inputs_and_options(self, call: Call, value: Callable[[Ref], str]) -> tuple[Inputs, dict[str, Any]]:
        """The inputs of the layer, and the options that the call sets."""
        kind = self._parsed.kind
        accepted: Mapping[str, Names] = kind.arguments(self._parsed.base)
        if kind.takes_mask and "mask" not in accepted:
            accepted = {**(accepted or {"inputs": (self._first_input(),)}), "mask": ("mask",)}
        if not accepted:
            refs = refs_in(call.args) or refs_in(tuple(call.kwargs.values()))
            values = tuple(map(value, refs))
            if not values:
                self._fail("is called on no tensor")
            return self._builder.with_masks(values) if kind.reads_masks else [("", v) for v in values], {}
        if len(call.args) > len(accepted):
            self._fail(f"is called with {len(call.args)} arguments; it takes {', '.join(accepted)}")
        given = dict(zip(accepted, call.args, strict=False)) | call.kwargs
        for name in kind.ignored_arguments:
            given.pop(name, None)
        inputs = self._explicit_inputs(accepted, given, value)
        if not inputs:
            self._fail("is called on no tensor")
        tensors = [name for name in accepted if isinstance(given.get(name), Ref) or given.get(name)]
        return inputs + self._implicit_masks(accepted, tensors, inputs), self._options(accepted, given)

    def _options(self, accepted: Mapping[str, Names], given: Mapping[str, Any]) -> dict[str, Any]:
        """The layer's fields that arguments other than tensors set."""
        fields = self._parsed.kind.call_options
        options = {}
        for name, value in given.items():
            if name in accepted or name == "training" or value is None:
                continue
            if name not in fields:
                self._fail(f"is called with {name!a}, which is not supported")
            options[fields[name]] = value
        return options

    def _explicit_inputs(
        self, accepted: Mapping[str, Names], given: Mapping[str, Any], value: Callable[[Ref], str]
    ) -> Inputs:
        """The inputs that are tensors in the arguments."""
        inputs: Inputs = []
        for name, roles in accepted.items():
            argument = as_constant(given.get(name)) if name.endswith("mask") else given.get(name)
            if isinstance(argument, Constant) and len(roles) == 1 and inputs:
                mask = self._builder.constant(f"{self._node}/{name}", inputs[0][1], argument, self._parsed.place)
                inputs.append((roles[0], mask))
                continue
            trees = argument if isinstance(argument, tuple) else (argument,)
            # The states of a recurrent layer may be in one list after its sequence.
            roles = roles if len(trees) <= len(roles) else tuple(r for own in accepted.values() for r in own)
            if len(trees) > len(roles):
                self._fail(f"argument {name} has {len(trees)} tensors; it takes {', '.join(roles)}")
            for role, ref in zip(roles, trees, strict=False):
                if isinstance(ref, Ref):
                    inputs.append((role, value(ref)))
                elif ref is not None:
                    self._fail(f"argument {name} must be a tensor")
        return inputs

    def _implicit_masks(self, accepted: Mapping[str, Names], tensors: list[str], inputs: Inputs) -> Inputs:
        """The masks that Keras passes to the layer with its inputs, unless the call has them as arguments.

        A call with one argument of `tensors` gets `mask`; one with several gets a mask for each, such as `query_mask`.
        """
        masks: Inputs = []
        given = {role for role, _ in inputs}
        for role, value in inputs:
            name = f"{role}_mask"
            if len(tensors) > 1:
                name = name if role in tensors and name in accepted else ""
            elif name not in accepted.get("mask", ()):
                name = "mask" if "mask" in accepted.get("mask", ()) and role == inputs[0][0] else ""
            mask = self._builder.mask_of(value) if name and name not in given else None
            if mask is not None:
                given.add(name)
                masks.append((name, mask))
        return masks

    def _first_input(self) -> str:
        inputs = getattr(self._parsed.base, "inputs", ("inputs",))
        return next(name for name in inputs if name != "mask")

    def _fail(self, message: str) -> NoReturn:
        raise KerasFileError(f"{self._parsed.place}: {message}")
