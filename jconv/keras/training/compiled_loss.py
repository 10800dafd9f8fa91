"""The loss that a model was compiled with, over all its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from ..files.errors import KerasFileError
from ..kinds.config import Config, as_dict, number, shortened
from ..read.calls import read_refs
from .losses import Loss, read_single_loss


@dataclass(frozen=True)
class Outputs:
    """A model's outputs in their order: the names that jconv has, and those by which Keras knows their losses."""

    names: tuple[str, ...]
    known_as: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """The loss of one output, by its name, its weight in the sum, and what the file says of it."""

    output: str
    loss: Loss
    weight: float | None
    value: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class CompiledLoss:
    """`(y, target) -> scalar`: `y` is what `model.apply` gives, `target` likewise; for several outputs dicts by name.

    A target for several outputs may also be a tuple in their order. Raises `ValueError` for a target of neither form.
    """

    names: tuple[str, ...]
    terms: tuple[Term, ...]

    def __call__(self, y: Any, target: Any) -> jax.Array:
        """The weighted sum of the outputs' losses."""
        return self._sum(lambda loss: loss, y, target)

    def reference(self, y: Any, target: Any) -> Any:
        """The same in NumPy, in float64 or for `y` in complex128."""
        return self._sum(lambda loss: loss.reference, y, target)

    @property
    def takes_classes(self) -> tuple[bool, ...]:
        """Of each output that has a loss, whether its targets are class numbers and not a number for each."""
        return tuple(term.loss.takes_classes for term in self.terms)

    @property
    def name(self) -> str:
        """The names of the outputs' losses."""
        return ", ".join(term.loss.name for term in self.terms)

    def _sum(self, which: Callable[[Loss], Callable[[Any, Any], Any]], y: Any, target: Any) -> Any:
        if len(self.names) == 1:
            y, target = {self.names[0]: y}, {self.names[0]: target}
        elif isinstance(target, (tuple, list)) and len(target) == len(self.names):
            target = dict(zip(self.names, target, strict=True))
        if not isinstance(target, Mapping) or not {term.output for term in self.terms} <= set(target):
            raise ValueError(f"target must be a dict with {', '.join(self.names)}, got {type(target).__name__}")
        values = []
        for term in self.terms:
            value = which(term.loss)(y[term.output], target[term.output])
            values.append(value if term.weight is None else value * term.weight)
        return sum(values[1:], start=values[0])


def read_loss(value: Any, weights: Any, outputs: Outputs, place: str) -> CompiledLoss | None:
    """The loss of a compile config, from its `loss` and `loss_weights`; None where it says none.

    Raises `KerasFileError` for losses that are not Keras's own or do not fit the outputs.
    """
    terms = []
    for output, loss, weight in _paired(value, weights, outputs, place):
        if loss is not None:
            terms.append(Term(output, read_single_loss(loss, place), weight, loss))
    return CompiledLoss(outputs.names, tuple(terms)) if terms else None


def read_outputs(config: Mapping[str, Any], names: tuple[str, ...]) -> Outputs:
    """The outputs of a whole model's config, of which jconv has the `names`."""
    inner = Config(config, "config").get("config", as_dict)
    if "output_layers" not in inner:
        last = inner.get("layers", [{}])[-1].get("config", {}).get("name", names[0])
        return Outputs(names, (str(last),))
    refs = read_refs(inner["output_layers"], "config.output_layers")
    named = sorted(refs.items()) if isinstance(refs, dict) else [(None, refs)]
    known = [key or ref.layer for key, tree in named for ref in _flat(tree)]
    return Outputs(names, tuple(known))


def _paired(value: Any, weights: Any, outputs: Outputs, place: str) -> list[tuple[str, Any, float | None]]:
    """`(output, loss, weight)` of every output."""
    count = len(outputs.names)
    if value is None or isinstance(value, str) or _is_object(value):
        if isinstance(weights, list) and len(weights) == 1:
            weights = weights[0]
        return [(name, value, _weight(weights, place)) for name in outputs.names]
    if isinstance(value, list) and len(value) == count:
        weights = [None] * count if weights is None else weights
        if not isinstance(weights, list) or len(weights) != count:
            raise KerasFileError(f"{place}: loss_weights must be a list of {count}, got {shortened(weights)}")
        return [(n, v, _weight(w, place)) for n, v, w in zip(outputs.names, value, weights, strict=True)]
    if isinstance(value, dict) and set(value) <= set(outputs.known_as) and len(set(outputs.known_as)) == count:
        weights = {} if weights is None else weights
        if not isinstance(weights, dict):
            raise KerasFileError(f"{place}: loss_weights must be an object as the losses are, got {shortened(weights)}")
        named = zip(outputs.names, outputs.known_as, strict=True)
        return [(name, value.get(known), _weight(weights.get(known), place)) for name, known in named]
    raise KerasFileError(
        f"{place} must be a loss, a list of {count} or an object by {', '.join(outputs.known_as)}, got "
        f"{shortened(value)}"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def _weight(value: Any, place: str) -> float | None:
    return None if value is None else Config({"loss_weights": value}, place).get("loss_weights", number)


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = tuple(tree[key] for key in sorted(tree))
    return [leaf for part in tree for leaf in _flat(part)] if isinstance(tree, tuple) else [tree]
