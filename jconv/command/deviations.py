"""How far JAX deviates from the NumPy definition: in each node, on the definition's own input, and in the network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..layers import GRU, LSTM, Activation, ConvLSTM1D, InDtype, SimpleRNN, Softmax
from ..layers.base import Layer
from ..layers.nesting import unwrap
from ..layers.wrapper import Wrapper
from ..model.graph import Model, Tree

Array = np.ndarray[Any, Any]
RECURRENT = (SimpleRNN, LSTM, GRU, ConvLSTM1D)
BOUNDS = {"float64": 1e-12, "bfloat16": 2e-2, "float16": 2e-2}
# Bounds in float32; rounding errors of recurrent layers accumulate along the sequence.
FLOAT32, RECURRENT_FLOAT32 = 1e-5, 1e-4
# Activations that saturate, and the distance from 0 or 1 below which a value is saturated.
SATURATING, SATURATED = ("softmax", "sigmoid"), 1e-6


class Deviation(NamedTuple):
    """The largest difference relative to the largest expected value, and its bound."""

    value: float
    bound: float

    @property
    def exceeds_bound(self) -> bool:
        """Whether the value is larger than the bound, or NaN."""
        return not self.value <= self.bound


class NodeDeviations(NamedTuple):
    """The deviations of a node, or of the network's outputs, by column."""

    name: str
    layer: str
    deviations: dict[str, Deviation]

    def ratio(self, column: str) -> float:
        """The deviation divided by its bound; negative if the column is empty."""
        deviation = self.deviations.get(column)
        return -1.0 if deviation is None else deviation.value / deviation.bound

    @property
    def exceeds_bound(self) -> bool:
        """Whether any deviation exceeds its bound."""
        return any(deviation.exceeds_bound for deviation in self.deviations.values())


def relative_deviation(y: Any, expected: Any) -> float:
    """`max |y - expected| / max |expected|` of arrays or tuples of arrays; infinite if their NaNs or infinities differ.

    >>> relative_deviation(np.array([1.0, np.nan]), np.array([2.0, np.nan]))
    0.5
    >>> relative_deviation(np.array([np.inf]), np.array([1.0]))
    inf
    """
    if isinstance(expected, (tuple, list)):
        return max(map(relative_deviation, y, expected), default=0.0) if len(y) == len(expected) else math.inf
    a, b = np.asarray(y).astype(np.float64), np.real(expected).astype(np.float64)
    if a.shape != b.shape:
        return math.inf
    is_same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not (np.isfinite(a) & np.isfinite(b))[~is_same].all():
        return math.inf
    scale = np.max(np.abs(b), where=np.isfinite(b), initial=0) or 1.0
    return float(np.max(np.abs(np.subtract(a, b, where=~is_same, out=np.zeros_like(b))), initial=0) / scale)


def node_deviations(model: Model, params: Tree, state: Tree, x: Mapping[str, Any]) -> list[NodeDeviations]:
    """The deviations of each node, in the order of the model.

    Each node reads the definition's values, rounded to the type that the network has there, so that errors do not
    accumulate and both sides read the same values.
    """
    values = dict(x)
    rows = []
    for node in model.nodes:
        own = params.get(node.key, {}), state.get(node.key, {})
        inputs = node.select(values)
        expected = node.layer.reference(*own, inputs)
        y = _apply_layer(node.layer, *own, inputs)
        with jax.enable_x64(True):
            y64 = _apply_layer(_in_float64(node.layer), *map(_to_float64, own), _to_float64(inputs))
        values[node.name] = _round_like(expected, y)
        by_type = {"float32": _deviation(y, expected, _float32_bound(node.layer)), "float64": _deviation(y64, expected)}
        rows.append(NodeDeviations(node.name, str(node.layer), by_type))
    return rows


def network_deviations(
    model: Model, params: Tree, state: Tree, x: Mapping[str, Any], expected: Mapping[str, Any]
) -> dict[str, Deviation]:
    """The deviations of the network's outputs from the `expected` ones, by column."""
    y = _apply_model(model, params, state, dict(x))
    with jax.enable_x64(True):
        model64 = replace(model, nodes=tuple(replace(node, layer=_in_float64(node.layer)) for node in model.nodes))
        y64 = _apply_model(model64, _to_float64(params), _to_float64(state), _to_float64(dict(x)))
    outputs = tuple(expected[name] for name in model.outputs)
    float32 = Deviation(relative_deviation(y, outputs), network_bound(model))
    return {"float32": float32, "float64": _deviation(y64, outputs)}


def network_bound(model: Model) -> float:
    """The bound for the network as saved: larger if a layer computes in bfloat16 or float16."""
    layers = [inner for node in model.nodes for inner in _all_layers(node.layer)]
    if any(isinstance(layer, InDtype) and layer.dtype in ("bfloat16", "float16") for layer in layers):
        return BOUNDS["bfloat16"]
    return max((_float32_bound(node.layer) for node in model.nodes), default=FLOAT32)


def saturated_outputs(model: Model, values: Mapping[str, Any]) -> list[str]:
    """The outputs of a softmax or sigmoid whose values are all 0 or 1.

    Saturated values hardly depend on the layers before them, so comparing them shows nothing.
    """
    layers = {node.name: unwrap(node.layer) for node in model.nodes}
    saturated = []
    for name in model.outputs:
        layer = layers.get(name)
        can_saturate = isinstance(layer, Softmax) or getattr(layer, "activation", None) in SATURATING
        if isinstance(layer, RECURRENT) or not can_saturate:
            continue
        y = np.real(values[name])
        if y.size and np.all(np.minimum(np.abs(y), np.abs(1 - y)) < SATURATED):
            saturated.append(name)
    return saturated


def without_activations(model: Model, names: list[str]) -> Model:
    """The model without the activations of the nodes `names`, except where several nodes share a layer."""
    keys = {node.name: node.key for node in model.nodes}

    def linear(layer: Layer) -> Layer:
        if isinstance(layer, Wrapper):
            return replace(layer, layer=linear(layer.layer))
        if isinstance(layer, (Softmax, Activation)):
            return Activation("linear")
        return replace(layer, **{"activation": None})

    # A layer that several nodes share must be the same in all of them, so it keeps its activation.
    names = [name for name in names if sum(node.key == keys[name] for node in model.nodes) == 1]
    nodes = tuple(replace(node, layer=linear(node.layer)) if node.name in names else node for node in model.nodes)
    return replace(model, nodes=nodes)


@partial(jax.jit, static_argnums=0)
def _apply_layer(layer: Layer, params: Any, state: Any, x: Any) -> Any:
    return layer.apply(params, state, x)[0]


@partial(jax.jit, static_argnums=0)
def _apply_model(model: Model, params: Any, state: Any, x: Any) -> tuple[Any, ...]:
    values = {**x, **model.values(params, state, x)[0]}
    return tuple(values[name] for name in model.outputs)


def _deviation(y: Any, expected: Any, float32_bound: float = FLOAT32) -> Deviation:
    """The deviation, with the bound for the type of `y`; for several arrays, the largest of their bounds."""
    arrays = y if isinstance(y, (tuple, list)) else (y,)
    return Deviation(relative_deviation(y, expected), max(BOUNDS.get(str(a.dtype), float32_bound) for a in arrays))


def _float32_bound(layer: Layer) -> float:
    return RECURRENT_FLOAT32 if any(isinstance(inner, RECURRENT) for inner in _all_layers(layer)) else FLOAT32


def _round_like(expected: Any, y: Any) -> Any:
    if isinstance(expected, (tuple, list)):
        return tuple(map(_round_like, expected, y))
    with np.errstate(all="ignore"):
        return np.real(expected).astype(y.dtype)


def _to_float64(tree: Any) -> Any:
    return jax.tree.map(lambda a: np.asarray(a, np.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def _in_float64(value: Any) -> Any:
    """A layer, or a tuple of layers, with all layers inside computing in float64; another value unchanged."""
    if isinstance(value, tuple):
        return tuple(map(_in_float64, value))
    if not isinstance(value, Layer):
        return value
    old = {field.name: getattr(value, field.name) for field in fields(value)}
    new = {name: _in_float64(part) for name, part in old.items()}
    new |= {"dtype": "float64"} if isinstance(value, InDtype) else {}
    return value if new == old else replace(value, **new)


def _all_layers(value: Any) -> Iterator[Layer]:
    """A layer and all layers inside it; for a tuple, all layers in it."""
    if isinstance(value, Layer):
        yield value
        value = tuple(getattr(value, field.name) for field in fields(value))
    if isinstance(value, tuple):
        for part in value:
            yield from _all_layers(part)
