"""How far JAX is from the NumPy definition: each node on the definition's own input, and the whole network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
# Where a layer goes along the sequence step by step, the rounding of every step adds to that of those before it.
SINGLE, STEP_BY_STEP = 1e-5, 1e-4
# Of activations that saturate, how near to 0 or 1 a value is then.
SATURATING, NEAR = ("softmax", "sigmoid"), 1e-6


class Deviation(NamedTuple):
    """The greatest difference, by the greatest value of what is right, and what it must not exceed."""

    value: float
    bound: float

    @property
    def beyond(self) -> bool:
        """Whether it exceeds its bound."""
        return not self.value <= self.bound


class NodeDeviations(NamedTuple):
    """A node's output, or the whole network's, in JAX in float32 and float64, each against NumPy."""

    name: str
    layer: str
    float32: Deviation
    float64: Deviation


def deviation(y: Any, expected: Any) -> float:
    """`max |y - expected| / max |expected|`, which may be tuples; infinite where only one is NaN or infinite.

    >>> deviation(np.array([1.0, np.nan]), np.array([2.0, np.nan])), deviation(np.array([np.inf]), np.array([1.0]))
    (0.5, inf)
    """
    if isinstance(expected, (tuple, list)):
        return max(map(deviation, y, expected), default=0.0) if len(y) == len(expected) else math.inf
    a, b = np.asarray(y).astype(np.float64), np.real(expected).astype(np.float64)
    if a.shape != b.shape:
        return math.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not (np.isfinite(a) & np.isfinite(b))[~same].all():
        return math.inf
    scale = np.max(np.abs(b), where=np.isfinite(b), initial=0) or 1.0
    return float(np.max(np.abs(np.subtract(a, b, where=~same, out=np.zeros_like(b))), initial=0) / scale)


def bound_of(y: Any, single: float = SINGLE) -> float:
    """What an output may deviate, by its type, in float32 `single`; of several outputs the most."""
    return max(BOUNDS.get(str(part.dtype), single) for part in (y if isinstance(y, (tuple, list)) else (y,)))


def single_bound(*layers: Layer) -> float:
    """What the output of layers one behind another may deviate in float32."""
    return STEP_BY_STEP if any(_any(layer, lambda inner: isinstance(inner, RECURRENT)) for layer in layers) else SINGLE


def saturated_outputs(model: Model, values: Mapping[str, Any]) -> list[str]:
    """The outputs that a softmax or a sigmoid gives and of which every value is 0 or 1, near enough.

    Nothing before them can be told from them.
    """
    layers = {node.name: unwrap(node.layer) for node in model.nodes}
    found = []
    for name in model.outputs:
        saturates = not isinstance(layers.get(name), RECURRENT) and (
            getattr(layers.get(name), "activation", None) in SATURATING or isinstance(layers.get(name), Softmax)
        )
        y = np.real(values[name]) if saturates else np.ones(0)
        if y.size and np.all(np.minimum(np.abs(y), np.abs(1 - y)) < NEAR):
            found.append(name)
    return found


def without_activations(model: Model, names: list[str]) -> Model:
    """The model in which the nodes `names` have no activation, where they are the only calls of their layers."""
    keys = {node.name: node.key for node in model.nodes}

    def plain(layer: Layer) -> Layer:
        if isinstance(layer, Wrapper):
            return replace(layer, layer=plain(layer.layer))
        alone = isinstance(layer, (Softmax, Activation))
        return Activation("linear") if alone else replace(layer, **{"activation": None})

    # All calls of a layer with arrays are of the same layer.
    names = [name for name in names if sum(node.key == keys[name] for node in model.nodes) == 1]
    nodes = tuple(replace(node, layer=plain(node.layer)) if node.name in names else node for node in model.nodes)
    return replace(model, nodes=nodes)


def node_by_node(model: Model, params: Tree, state: Tree, x: Mapping[str, Any]) -> list[NodeDeviations]:
    """The deviations of every node, in the order of the model.

    Each node reads what the definition gives, rounded to the type that the network has there, so that nothing piles up
    and both sides read the same numbers.
    """
    values = dict(x)
    found = []
    for node in model.nodes:
        own = params.get(node.key, {}), state.get(node.key, {})
        read = tuple(values[name] for name in node.inputs)
        read = read if node.layer.has_several_inputs else read[0]
        expected = node.layer.reference(*own, read)
        y = _applied(node.layer, *own, read)
        with jax.enable_x64(True):
            exact = _applied(_in_double(node.layer), *map(_doubled, own), _doubled(read))
        values[node.name] = _rounded(expected, y)
        single = single_bound(node.layer)
        found.append(NodeDeviations(node.name, str(node.layer), _of(y, expected, single), _of(exact, expected)))
    return found


def whole(model: Model, params: Tree, state: Tree, x: Mapping[str, Any], expected: Mapping[str, Any]) -> NodeDeviations:
    """The deviations of the network's outputs from those `expected`, by name."""
    y = _outputs(model, params, state, dict(x))
    with jax.enable_x64(True):
        double = replace(model, nodes=tuple(replace(node, layer=_in_double(node.layer)) for node in model.nodes))
        exact = _outputs(double, _doubled(params), _doubled(state), _doubled(dict(x)))
    right = tuple(expected[name] for name in model.outputs)
    return NodeDeviations("", "", Deviation(deviation(y, right), bound_as_saved(model)), _of(exact, right))


def bound_as_saved(model: Model) -> float:
    """What the network as it was saved may deviate: more where a layer computes in bfloat16 or float16."""
    halves = any(_halves(node.layer) for node in model.nodes)
    return BOUNDS["bfloat16"] if halves else single_bound(*(node.layer for node in model.nodes))


@partial(jax.jit, static_argnums=0)
def _applied(layer: Layer, params: Any, state: Any, x: Any) -> Any:
    return layer.apply(params, state, x)[0]


@partial(jax.jit, static_argnums=0)
def _outputs(model: Model, params: Any, state: Any, x: Any) -> tuple[Any, ...]:
    values = {**x, **model.values(params, state, x)[0]}
    return tuple(values[name] for name in model.outputs)


def _of(y: Any, expected: Any, single: float = SINGLE) -> Deviation:
    return Deviation(deviation(y, expected), bound_of(y, single))


def _rounded(expected: Any, y: Any) -> Any:
    if isinstance(expected, (tuple, list)):
        return tuple(map(_rounded, expected, y))
    with np.errstate(all="ignore"):
        return np.real(expected).astype(y.dtype)


def _doubled(tree: Any) -> Any:
    return jax.tree.map(lambda a: np.asarray(a, np.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def _in_double(value: Any) -> Any:
    """A layer, or a tuple of some, in which nothing computes in another type."""
    return _changed(value, lambda layer: replace(layer, dtype="float64") if isinstance(layer, InDtype) else layer)


def _halves(layer: Layer) -> bool:
    return _any(layer, lambda inner: isinstance(inner, InDtype) and inner.dtype in BOUNDS and inner.dtype != "float64")


def _any(layer: Layer, is_one: Callable[[Layer], bool]) -> bool:
    """Whether a layer, or one in it, is one of a sort."""
    found = []

    def look(inner: Layer) -> Layer:
        found.append(is_one(inner))
        return inner

    _changed(layer, look)
    return any(found)


def _changed(value: Any, change: Callable[[Layer], Layer]) -> Any:
    if isinstance(value, tuple):
        return tuple(_changed(part, change) for part in value)
    if not isinstance(value, Layer):
        return value
    inner = {field.name: getattr(value, field.name) for field in fields(value)}
    new = {name: _changed(part, change) for name, part in inner.items() if isinstance(part, (Layer, tuple))}
    return change(replace(value, **new) if any(new[name] != inner[name] for name in new) else value)
