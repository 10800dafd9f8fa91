"""One layer of a file, called: Keras's arguments to the inputs of the layer, with the masks that go with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ...layers.operations.operation import Constant
from ..files.errors import KerasFileError
from ..kinds.config import shortened
from .calls import Call, Ref, refs_in
from .layer import Read, with_inputs
from .parts import Part
from .values import Values

# What a call of Keras 3 says of it has no effect in `fit` and `predict`; see `mode_of` for Keras 2.
PASSED_OVER = ("training",)

Names = tuple[str, ...]


def mode_of(call: Call, given: bool | None, values: Values, place: str) -> bool | None:
    """Whether a call is always in training (True), or never, as in Keras 2 the call itself may say; else `given`.

    Raises `KerasFileError` for anything but true or false.
    """
    said = call.kwargs.get("training") if values.older else None
    if said is None:
        return given
    if said not in (0, 1) or not isinstance(said, int):
        raise KerasFileError(f"{place}: training must be true, false or null, got {shortened(said)}")
    return bool(said)


def as_constant(value: Any) -> Any:
    """An array as Keras 2 writes one, in lists, as the `Constant` that it is as Keras 3 writes it; else the value.

    >>> as_constant(((True, False), (True, True)))
    Constant(values=((True, False), (True, True)), dtype='bool')
    """
    leaves = [value]
    while leaves and isinstance(leaves[0], tuple):
        leaves = [part for tree in leaves if isinstance(tree, tuple) for part in tree]
    numbers = isinstance(value, tuple) and leaves and all(isinstance(leaf, (bool, int, float)) for leaf in leaves)
    if not numbers:
        return value
    return Constant(value, "bool" if all(isinstance(leaf, bool) for leaf in leaves) else "float32")


class LayerCaller:
    """A layer: one node a call; `mode` is that of the model it is in, as `mode_of` gives it."""

    def __init__(self, values: Values, read: Read, part: Part, node: str, mode: bool | None = None) -> None:
        self._values, self._read, self._part, self._node, self._mode = values, read, part, node, mode

    def call(self, call: Call, value: Callable[[Ref], str]) -> str:
        """The value of a call whose tensors `value` names."""
        roles, inputs, options = self._arranged(call, value)
        mode = mode_of(call, self._mode, self._values, self._read.place)
        layer = with_inputs(self._read, roles, options, mode)
        # A mask that stands among the positional arguments does not go on.
        said = call.kwargs.get("mask")
        masks = tuple(value(m) if isinstance(m, Ref) else None for m in (said if isinstance(said, tuple) else (said,)))
        explicit = masks if said is not None else ()
        return self._values.add_layer(self._node, self._read, layer, roles, inputs, self._part, explicit)

    def _arranged(self, call: Call, value: Callable[[Ref], str]) -> tuple[Names, Names, dict[str, Any]]:
        """The names of the layer's inputs, the values that they are, and options that the call sets."""
        kind = self._read.kind
        wanted: Mapping[str, Names] = kind.arguments(self._read.base) if kind else {}
        if kind is not None and kind.takes_mask and "mask" not in wanted:
            wanted = {**(wanted or {"inputs": (self._default_input(),)}), "mask": ("mask",)}
        if not wanted:
            refs = tuple(refs_in(call.args)) or tuple(ref for v in call.kwargs.values() for ref in refs_in(v))
            read = self._some(tuple(value(ref) for ref in refs))
            roles, read = self._values.with_masks(read) if kind is not None and kind.reads_masks else ((), read)
            return roles, read, {}
        if len(call.args) > len(wanted):
            self._fail(f"is called with {len(call.args)} arguments; it takes {', '.join(wanted)}")
        given = dict(zip(wanted, call.args, strict=False)) | call.kwargs
        for name in kind.passed_over if kind else ():
            given.pop(name, None)
        roles, inputs = self._placed(wanted, given, value)
        self._some(tuple(inputs))
        self._with_masks(wanted, given, roles, inputs)
        return tuple(roles), tuple(inputs), self._options(wanted, given)

    def _options(self, wanted: Mapping[str, Names], given: Mapping[str, Any]) -> dict[str, Any]:
        """The layer's fields that arguments without tensors set."""
        known = self._read.kind.call_options if self._read.kind else {}
        options = {}
        for name, found in given.items():
            if name in wanted or name in PASSED_OVER or found is None:
                continue
            if name not in known:
                self._fail(f"is called with {name!a}, which jconv does not have for it")
            options[known[name]] = found
        return options

    def _placed(
        self, wanted: Mapping[str, Names], given: Mapping[str, Any], value: Callable[[Ref], str]
    ) -> tuple[list[str], list[str]]:
        """The roles that the arguments' tensors have, and their values."""
        roles: list[str] = []
        inputs: list[str] = []
        for name, parts in wanted.items():
            found = as_constant(given.get(name)) if name.endswith("mask") else given.get(name)
            if isinstance(found, Constant) and len(parts) == 1 and inputs:
                roles.append(parts[0])
                inputs.append(self._values.constant(f"{self._node}/{name}", inputs[0], found, self._read.place))
                continue
            trees = found if isinstance(found, tuple) else (found,)
            # The states of a recurrent layer may stand in one list behind its sequence.
            parts = parts if len(trees) <= len(parts) else tuple(p for ps in wanted.values() for p in ps)
            if len(trees) > len(parts):
                self._fail(f"argument {name} has {len(trees)} tensors; it takes {', '.join(parts)}")
            for role, ref in zip(parts, trees, strict=False):
                if isinstance(ref, Ref):
                    roles.append(role)
                    inputs.append(value(ref))
                elif ref is not None:
                    self._fail(f"argument {name} must be a tensor")
        return roles, inputs

    def _some(self, inputs: Names) -> Names:
        if not inputs:
            self._fail("is called on no tensor")
        return inputs

    def _fail(self, message: str) -> NoReturn:
        raise KerasFileError(f"{self._read.place}: {message}")

    def _default_input(self) -> str:
        inputs = getattr(self._read.base, "inputs", ("inputs",))
        return next(name for name in inputs if name != "mask")

    def _with_masks(
        self, wanted: Mapping[str, Names], given: Mapping[str, Any], roles: list[str], inputs: list[str]
    ) -> None:
        """Add the masks that Keras hands to the layer with its inputs, where the call does not say them.

        `mask` comes to a call with a single argument of tensors, and the mask of an argument, such as `query_mask`, to
        a call with several.
        """
        tensors = [name for name in wanted if isinstance(given.get(name), Ref) or given.get(name)]
        for role, found in list(zip(roles, inputs, strict=True)):
            if len(tensors) > 1:
                name = f"{role}_mask" if role in tensors and f"{role}_mask" in wanted else ""
            else:
                parts = wanted.get("mask", ())
                name = f"{role}_mask" if f"{role}_mask" in parts else "mask" if "mask" in parts else ""
            if name and name not in roles and (name != "mask" or role == roles[0]):
                mask = self._values.mask_of(found)
                if mask is not None:
                    roles.append(name)
                    inputs.append(mask)
