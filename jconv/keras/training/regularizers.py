"""Keras's regularizers, as penalties on the params and on the outputs of layers, in JAX and in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...layers import Bidirectional
from ...layers.base import is_tuple_of_shapes
from ...layers.nesting import unwrap
from ...model.graph import Model
from ..files.errors import KerasFileError, error_context
from ..kinds.config import Config, number, one_of, optional
from ..read.parts import ModelPart
from .layer_options import ACTIVITY_REGULARIZER, LayerConfig, layer_configs, read_array_options
from .objects import read_object

# Keras's epsilon.
EPSILON = 1e-7
# Keras applies the activity regularizer of these layers to each projection inside them.
ATTENTIONS = ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention")


@dataclass(frozen=True)
class L1L2:
    """`l1` times the sum of absolute values plus `l2` times the sum of squares."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, w: jax.Array) -> jax.Array:
        """The penalty on an array."""
        total = jnp.zeros((), w.dtype)
        total += self.l1 * jnp.sum(jnp.abs(w)) if self.l1 else 0
        return total + (self.l2 * jnp.sum(jnp.square(w)) if self.l2 else 0)

    def reference(self, w: Any) -> Any:
        """The same in NumPy, in float64, or in complex128 for complex-step derivatives."""
        return self.l1 * np.sum(w * np.sign(w.real)) + self.l2 * np.sum(w**2)


@dataclass(frozen=True)
class Orthogonal:
    """`factor` times the mean absolute cosine between two rows, or two columns, of a matrix."""

    factor: float = 0.01
    mode: str = "rows"

    def __call__(self, w: jax.Array) -> jax.Array:
        """The penalty on a matrix. Raises `ValueError` unless it has two axes and at least two rows or columns."""
        if w.ndim != 2 or w.shape[self.mode == "columns"] < 2:
            raise ValueError(f"it compares two or more {self.mode} of a matrix")
        w = w if self.mode == "rows" else w.T
        rows = w * jnp.minimum(jax.lax.rsqrt(jnp.sum(jnp.square(w), 1, keepdims=True)), 1 / EPSILON)
        others = (rows @ rows.T) * (1 - jnp.eye(len(rows), dtype=w.dtype))
        return self.factor * 0.5 * jnp.sum(jnp.abs(others)) / (len(rows) * (len(rows) - 1.0) / 2)

    def reference(self, w: Any) -> Any:
        """The same in NumPy, in float64, or in complex128 for complex-step derivatives."""
        w = w if self.mode == "rows" else w.T
        lengths = np.sqrt(np.sum(w**2, 1, keepdims=True))
        rows = w / np.where(lengths.real < EPSILON, EPSILON, lengths)
        others = (rows @ rows.T) * (1 - np.eye(len(rows)))
        return self.factor * 0.5 * np.sum(others * np.sign(others.real)) / (len(rows) * (len(rows) - 1) / 2)


@dataclass(frozen=True)
class WeightPenalty:
    """The sum of the regularizers of single arrays of params; `terms` are `(key, name, regularizer)`.

    >>> penalty = WeightPenalty((("dense", "kernel", L1L2(l2=0.5)),))
    >>> float(penalty({"dense": {"kernel": jnp.array([[1.0, 2.0]])}}))
    2.5
    """

    terms: tuple[tuple[str, str, L1L2 | Orthogonal], ...]

    def __call__(self, params: Mapping[str, Any]) -> jax.Array:
        """The penalty, a scalar."""
        return sum((term(params[key][name]) for key, name, term in self.terms), start=jnp.zeros(()))

    def reference(self, params: Mapping[str, Any]) -> Any:
        """The same in NumPy, in float64 or complex128."""
        return sum(term.reference(np.asarray(params[key][name])) for key, name, term in self.terms)


@dataclass(frozen=True)
class ActivityPenalty:
    """The sum of the regularizers of outputs of nodes, each divided by the batch size.

    `terms` are `(node name, regularizer)`, one for each call of a layer. All outputs of a node are penalized.

    >>> penalty = ActivityPenalty((("dense", L1L2(l2=0.5)),))
    >>> float(penalty({"dense": jnp.array([[1.0, 2.0], [0.0, 1.0]])}))
    1.5
    """

    terms: tuple[tuple[str, L1L2 | Orthogonal], ...]

    def __call__(self, values: Mapping[str, Any]) -> jax.Array:
        """The penalty, a scalar, for the values that `Model.values` returns."""
        penalties = [term(y) / len(y) for name, term in self.terms for y in jax.tree.leaves(values[name])]
        return sum(penalties, start=jnp.zeros(()))

    def reference(self, values: Mapping[str, Any]) -> Any:
        """The same in NumPy, for the values that `Model.reference_values` returns, float64 or complex128."""
        outputs = [(term, np.asarray(y)) for name, term in self.terms for y in jax.tree.leaves(values[name])]
        return sum(term.reference(y) / len(y) for term, y in outputs)


def read_weight_penalty(root: ModelPart) -> WeightPenalty:
    """The penalty of the layers' regularizers on trained arrays.

    Raises `KerasFileError` for a regularizer that is not part of Keras.
    """
    return WeightPenalty(tuple(read_array_options(root, "regularizer", REGULARIZERS)))


def read_activity_penalty(root: ModelPart, model: Model) -> ActivityPenalty:
    """The penalty of the layers' regularizers on outputs.

    Raises `KerasFileError` for a regularizer that is not part of Keras, and for one of an inner layer whose output is
    not part of the output of the outer layer.
    """
    terms: list[tuple[str, L1L2 | Orthogonal]] = []
    for part in root.leaves():
        calls = [node.name for node in model.nodes if node.key == part.key]
        for regularizer in _activity_regularizers(part):
            with error_context(f"{part.place}: {ACTIVITY_REGULARIZER}"):
                _check_output(regularizer, part)
            terms += [(name, regularizer) for name in calls]
    return ActivityPenalty(tuple(terms))


def _check_output(regularizer: L1L2 | Orthogonal, part: ModelPart) -> None:
    assert part.layer is not None
    shapes: Any = part.layer.output_shape(part.input_shape)
    for shape in shapes if is_tuple_of_shapes(shapes) else (shapes,):
        if isinstance(regularizer, Orthogonal) and len(shape) != 1:
            raise ValueError(f"the orthogonal regularizer needs a matrix, and the output has shape {(None, *shape)}")


def _activity_regularizers(part: ModelPart) -> list[L1L2 | Orthogonal]:
    """The regularizers of a layer's outputs."""
    found = {layer.prefix: (layer, r) for layer in layer_configs(part) if (r := _activity_regularizer(layer))}
    both = [found[prefix][1] for prefix in ("forward/", "backward/") if prefix in found]
    layer = unwrap(part.layer)
    is_concatenated = isinstance(layer, Bidirectional) and layer.merge_mode in ("concat", None)
    merged: list[L1L2 | Orthogonal] = []
    if is_concatenated and len(both) == 2 and both[0] == both[1] and isinstance(both[0], L1L2):
        # The output consists of the outputs of both directions, so one penalty on it is the sum of both penalties.
        merged = [found.pop("forward/")[1]]
        del found["backward/"]
    for prefix, (inner, _) in found.items():
        if prefix or part.class_name in ATTENTIONS:
            raise KerasFileError(
                f"{inner.place}: the {ACTIVITY_REGULARIZER} of a layer inside another layer is not supported in "
                "training"
            )
    return [regularizer for _, regularizer in found.values()] + merged


def _activity_regularizer(layer: LayerConfig) -> L1L2 | Orthogonal | None:
    """The regularizer of a layer's output; None if it has none."""
    value = layer.config.get(ACTIVITY_REGULARIZER)
    if layer.class_name == "ActivityRegularization":
        value = {"class_name": "L1L2", "config": {name: layer.config.get(name, 0.0) for name in ("l1", "l2")}}
    if value is None:
        return None
    regularizer = read_object(REGULARIZERS, value, f"{layer.place}: {ACTIVITY_REGULARIZER}", "the regularizer")
    return None if regularizer == L1L2() else regularizer


def _factor(config: Config, name: str, default: float) -> float:
    value = config.get(name, optional(number), None)
    if value is not None and value < 0:
        config.fail(f"{name} must not be negative, got {value}")
    return default if value is None else value


REGULARIZERS: dict[str, Callable[[Config], L1L2 | Orthogonal]] = {
    "L1": lambda config: L1L2(l1=_factor(config, "l1", 0.01)),
    "L2": lambda config: L1L2(l2=_factor(config, "l2", 0.01)),
    "L1L2": lambda config: L1L2(_factor(config, "l1", 0.0), _factor(config, "l2", 0.0)),
    "OrthogonalRegularizer": lambda config: Orthogonal(
        _factor(config, "factor", 0.01), config.get("mode", one_of("rows", "columns"), "rows")
    ),
}
