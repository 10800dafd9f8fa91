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

from ..layers import InDtype
from ..layers.base import Layer
from ..model import Model, Tree

Array = np.ndarray[Any, Any]
BOUNDS = {"float64": 1e-12, "bfloat16": 2e-2, "float16": 2e-2}
SINGLE = 1e-5


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


def bound_of(y: Any) -> float:
    """What an output may deviate, by its type; of several outputs the most."""
    return max(BOUNDS.get(str(part.dtype), SINGLE) for part in (y if isinstance(y, (tuple, list)) else (y,)))


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
        found.append(NodeDeviations(node.name, str(node.layer), _of(y, expected), _of(exact, expected)))
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
    return BOUNDS["bfloat16"] if any(_halves(node.layer) for node in model.nodes) else SINGLE


@partial(jax.jit, static_argnums=0)
def _applied(layer: Layer, params: Any, state: Any, x: Any) -> Any:
    return layer.apply(params, state, x)[0]


@partial(jax.jit, static_argnums=0)
def _outputs(model: Model, params: Any, state: Any, x: Any) -> tuple[Any, ...]:
    values = {**x, **model.values(params, state, x)[0]}
    return tuple(values[name] for name in model.outputs)


def _of(y: Any, expected: Any) -> Deviation:
    return Deviation(deviation(y, expected), bound_of(y))


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
    found = []

    def look(inner: Layer) -> Layer:
        found.append(isinstance(inner, InDtype) and inner.dtype in BOUNDS and inner.dtype != "float64")
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
