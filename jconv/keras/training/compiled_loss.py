"""The loss of a compiled model, over all its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from ..files.errors import KerasFileError
from ..kinds.config import Config, as_dict, number, shortened
from ..read.calls import flatten, read_refs
from .losses import Loss, read_single_loss


@dataclass(frozen=True)
class OutputNames:
    """The names of a model's outputs, in order, in jconv (`names`) and in Keras's losses (`keras_names`)."""

    names: tuple[str, ...]
    keras_names: tuple[str, ...]


@dataclass(frozen=True)
class LossTerm:
    """The loss of one output, its weight in the sum (None for 1), and its serialized form in the file."""

    output: str
    loss: Loss
    weight: float | None
    value: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class CompiledLoss:
    """The function `(y, target) -> scalar`, where `y` is what `model.apply` returns.

    With several outputs, `y` and `target` are dicts by name; `target` may also be a tuple in the order of the outputs.
    Raises `ValueError` for other targets.
    """

    names: tuple[str, ...]
    terms: tuple[LossTerm, ...]

    def __call__(self, y: Any, target: Any) -> jax.Array:
        """The weighted sum of the losses of the outputs."""
        return self._sum(lambda loss: loss, y, target)

    def reference(self, y: Any, target: Any) -> Any:
        """The same in NumPy, in float64, or in complex128 if `y` is complex."""
        return self._sum(lambda loss: loss.reference, y, target)

    @property
    def takes_classes(self) -> tuple[bool, ...]:
        """For each output with a loss, whether its targets are class indices."""
        return tuple(term.loss.takes_classes for term in self.terms)

    @property
    def name(self) -> str:
        """The names of the losses."""
        return ", ".join(term.loss.name for term in self.terms)

    def _sum(self, function_of: Callable[[Loss], Callable[[Any, Any], Any]], y: Any, target: Any) -> Any:
        if len(self.names) == 1:
            y, target = {self.names[0]: y}, {self.names[0]: target}
        elif isinstance(target, (tuple, list)) and len(target) == len(self.names):
            target = dict(zip(self.names, target, strict=True))
        if not isinstance(target, Mapping) or not {term.output for term in self.terms} <= set(target):
            raise ValueError(f"target must be a dict with {', '.join(self.names)}, got {type(target).__name__}")
        values = []
        for term in self.terms:
            value = function_of(term.loss)(y[term.output], target[term.output])
            values.append(value if term.weight is None else value * term.weight)
        return sum(values[1:], start=values[0])


def read_loss(value: Any, weights: Any, outputs: OutputNames, place: str) -> CompiledLoss | None:
    """The loss of a compile config, given its `loss` and `loss_weights`; None if there is none.

    Raises `KerasFileError` for losses that are not part of Keras or do not fit the outputs.
    """
    terms = []
    for output, loss, weight in _by_output(value, weights, outputs, place):
        if loss is not None:
            terms.append(LossTerm(output, read_single_loss(loss, place), weight, loss))
    return CompiledLoss(outputs.names, tuple(terms)) if terms else None


def read_output_names(config: Mapping[str, Any], names: tuple[str, ...]) -> OutputNames:
    """The output names of a complete model's config; in jconv they are `names`."""
    inner = Config(config, "config").get("config", as_dict)
    if "output_layers" not in inner:
        last = inner.get("layers", [{}])[-1].get("config", {}).get("name", names[0])
        return OutputNames(names, (str(last),))
    refs = read_refs(inner["output_layers"], "config.output_layers")
    by_key = sorted(refs.items()) if isinstance(refs, dict) else [(None, refs)]
    keras_names = [key or ref.layer for key, tree in by_key for ref in flatten(tree)]
    return OutputNames(names, tuple(keras_names))


def _by_output(value: Any, weights: Any, outputs: OutputNames, place: str) -> list[tuple[str, Any, float | None]]:
    """`(output, loss, weight)` for each output."""
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
    keras_names = outputs.keras_names
    if isinstance(value, dict) and set(value) <= set(keras_names) and len(set(keras_names)) == count:
        weights = {} if weights is None else weights
        if not isinstance(weights, dict):
            raise KerasFileError(f"{place}: loss_weights must be an object like the losses, got {shortened(weights)}")
        pairs = zip(outputs.names, keras_names, strict=True)
        return [(name, value.get(key), _weight(weights.get(key), place)) for name, key in pairs]
    raise KerasFileError(
        f"{place} must be a loss, a list of {count}, or an object with the keys {', '.join(keras_names)}, got "
        f"{shortened(value)}"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def _weight(value: Any, place: str) -> float | None:
    return None if value is None else Config({"loss_weights": value}, place).get("loss_weights", number)
