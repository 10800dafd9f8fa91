"""The loss of a compiled model, over all its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from ..files.errors import KerasFileError
from ..kinds.config import Config, as_dict, number, shortened
from ..read.calls import named_leaves, read_refs
from .losses import Loss, read_single_loss


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


def read_loss(value: Any, weights: Any, names: tuple[str, ...], keras_names: list[str]) -> CompiledLoss | None:
    """The loss of a compile config, given its `loss` and `loss_weights`; None if there is none.

    The model's outputs are `names` in jconv and `keras_names` in Keras's losses. Raises `KerasFileError` for losses
    that are not part of Keras or do not fit the outputs.
    """
    losses, weights = _by_output(value, weights, keras_names, len(names))
    weights = [None if w is None else Config({"loss_weights": w}, "loss").get("loss_weights", number) for w in weights]
    terms = [
        LossTerm(name, read_single_loss(loss), weight, loss)
        for name, loss, weight in zip(names, losses, weights, strict=True)
        if loss is not None
    ]
    return CompiledLoss(names, tuple(terms)) if terms else None


def read_output_names(config: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """The names that Keras's losses use for the outputs, from the config of a complete model; jconv uses `names`."""
    inner = Config(config, "config").get("config", as_dict)
    if "output_layers" not in inner:
        last = inner.get("layers", [{}])[-1].get("config", {}).get("name", names[0])
        return [str(last)]
    refs = read_refs(inner["output_layers"], "config.output_layers")
    return [key or ref.layer for key, ref in named_leaves(refs)]


def _by_output(value: Any, weights: Any, keras_names: list[str], count: int) -> tuple[list[Any], list[Any]]:
    """`(losses, weights)`, each with one entry per output."""
    if value is None or isinstance(value, str) or _is_object(value):
        if isinstance(weights, list) and len(weights) == 1:
            weights = weights[0]
        return [value] * count, [weights] * count
    if isinstance(value, list) and len(value) == count:
        weights = [None] * count if weights is None else weights
        if not isinstance(weights, list) or len(weights) != count:
            raise KerasFileError(f"loss: loss_weights must be a list of {count}, got {shortened(weights)}")
        return value, weights
    if isinstance(value, dict) and set(value) <= set(keras_names) and len(set(keras_names)) == count:
        weights = {} if weights is None else weights
        if not isinstance(weights, dict):
            raise KerasFileError(f"loss: loss_weights must be an object like the losses, got {shortened(weights)}")
        return [value.get(key) for key in keras_names], [weights.get(key) for key in keras_names]
    raise KerasFileError(
        f"loss must be a loss, a list of {count}, or an object with the keys {', '.join(keras_names)}, got "
        f"{shortened(value)}"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value
